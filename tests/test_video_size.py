"""Sizes at which a model was trained."""

import json
import shutil
from pathlib import Path

import pytest

import lingbot_cli
from lingbot_cli.video_size import untrained_size_note
from tests.support.command import lingbot

BUILT_IN = Path(lingbot_cli.__file__).parent / "builtin"


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


def test_a_model_says_its_sizes_in_plan_and_run(tmp_path):
    """The built-in model's files with other settings."""
    model = tmp_path / "model"
    shutil.copytree(BUILT_IN, model)
    config = json.loads((model / "lingbot.json").read_text())
    config["settings"]["sizes"] = ["112x64"]
    (model / "lingbot.json").write_text(json.dumps(config))

    def notes(size, *flags):
        done = lingbot(
            *("render", "samples/courtyard-day.png", "--moves", "w-4", "--prompt", "a courtyard at day"),
            *("--model", str(model), "--size", size, "-o", "null:", "--json", *flags),
        )
        assert done.code == 0, done.stderr
        return [line for line in done.stdout.splitlines() if "was not trained at" in line]

    assert not notes("112x64", "--dry-run")
    assert len(notes("80x80", "--dry-run")) == 1
    assert len(notes("80x80")) == 1
