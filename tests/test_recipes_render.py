"""Every recipe becomes a film of its own length."""

import json
from pathlib import Path

import pytest

from lingbot_cli.timeline.film import film
from tests.command import lingbot

ROOT = Path(__file__).parents[1]
RECIPES = sorted(path for path in (ROOT / "recipes").iterdir() if path.suffix in (".yaml", ".jsonl"))


def test_there_are_at_least_six():
    assert len(RECIPES) >= 6


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_renders(recipe, tmp_path):
    out = tmp_path / "film.mp4"
    done = lingbot(
        *("render", str(ROOT / "samples" / "courtyard-day.png"), "--timeline", str(recipe)),
        *("--size", "32x32", "-o", str(out), "--json"),
    )
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["frames"] == film(3, timeline=str(recipe)).track.frames
    assert out.stat().st_size > 1000
