"""Sizes at which a model was trained."""

import json

import pytest

from lingbot_cli.video_size import untrained_size_note
from tests.support.command import lingbot


@pytest.mark.parametrize(
    ("sizes", "size", "known"),
    [
        ((), (480, 832), None),
        (("112x64", "64x112"), (64, 112), None),
        (("112x64", "64x112"), (112, 64), None),
        (("112x64",), (80, 80), "--size 112x64,"),
        (("112x64", "224x128", "64x112"), (256, 448), "--size 112x64, 224x128 or 64x112,"),
    ],
)
def test_a_size_that_a_model_was_not_trained_at_is_named(sizes, size, known):
    note = untrained_size_note(sizes, *size)
    if known is None:
        assert note is None
    else:
        assert f"{size[1]}x{size[0]}" in note
        assert known in note


@pytest.mark.parametrize(("size", "warned"), [("112x64", False), ("80x80", True)])
def test_a_plan_names_an_untrained_size(size, warned):
    done = lingbot(
        *("render", "samples/courtyard-day.png", "--moves", "w-16", "--prompt", "a courtyard at day"),
        *("--size", size, "-o", "null:", "--dry-run", "--json"),
    )
    assert done.code == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert any("was not trained at" in json.dumps(each) for each in said) == warned
