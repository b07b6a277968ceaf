"""Recipes: valid timelines with their use."""

from pathlib import Path

import pytest

from lingbot_cli.timeline.resolve import resolve_timeline

RECIPES = sorted(
    p for p in (Path(__file__).parents[2] / "recipes").iterdir() if p.suffix in (".yaml", ".jsonl")
)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.name)
def test_a_recipe_compiles_and_has_its_use(recipe):
    made = resolve_timeline(3, timeline=str(recipe))
    assert 16 <= made.compiled.frames <= 60 * 16
    assert "When to use it: " in recipe.read_text()
