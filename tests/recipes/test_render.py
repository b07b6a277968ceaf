"""Every recipe renders a video of its length, and the drawing beside it shows its path."""

import json
from pathlib import Path

import pytest

from lingbot_cli.timeline.resolve import resolve_timeline
from tests.support.command import lingbot

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path for path in (ROOT / "recipes").iterdir() if path.suffix in (".yaml", ".jsonl"))

each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)


def test_there_are_at_least_six_and_the_page_lists_them():
    page = (ROOT / "recipes" / "README.md").read_text()
    assert len(RECIPES) >= 6
    assert all(f"({path.name})" in page and f"({path.stem}.svg)" in page for path in RECIPES)


@each_recipe
def test_a_recipe_renders(recipe, tmp_path):
    out = tmp_path / "walk.mp4"
    done = lingbot(
        *("render", str(ROOT / "samples" / "courtyard-day.png"), "--timeline", str(recipe)),
        *("--size", "32x32", "-o", str(out), "--json"),
    )
    assert done.code == 0, done.stderr
    assert (
        json.loads(done.stdout.splitlines()[-1])["frames"]
        == resolve_timeline(3, timeline=str(recipe)).compiled.frames
    )
    assert out.stat().st_size > 1000


@each_recipe
def test_the_drawing_beside_a_recipe_is_of_this_recipe(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)  # the title of the drawing is the path as given
    assert lingbot("timeline", "show", f"recipes/{recipe.name}", "-o", str(tmp_path / "now.svg")).code == 0
    assert (tmp_path / "now.svg").read_text() == recipe.with_suffix(".svg").read_text()
