"""What is known of a film before its world is loaded."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from PIL import Image

from lingbot_cli.render.request import UNTRAINED_NOTE, Request, prepare
from lingbot_cli.runtime.model_options import ModelOptions


@pytest.mark.parametrize("trained", [True, False])
def test_an_untrained_world_says_so(tmp_path, trained):
    model = tmp_path / "model"
    shutil.copytree(Path(str(files("lingbot_cli.builtin"))), model)
    config = json.loads((model / "lingbot.json").read_text())
    (model / "lingbot.json").write_text(json.dumps(config | {"trained": trained}))
    Image.new("RGB", (112, 64)).save(tmp_path / "image.png")
    prepared = prepare(Request(tmp_path / "image.png", moves="w-8", options=ModelOptions(model=str(model))))
    assert (UNTRAINED_NOTE in prepared.summary()) is not trained


def test_the_size_follows_the_image_and_the_flag_wins(tmp_path):
    Image.new("RGB", (300, 500)).save(tmp_path / "tall.png")
    tall = prepare(Request(tmp_path / "tall.png", moves="w-8")).plan
    assert tall.height > tall.width
    assert tall.height % 16 == tall.width % 16 == 0
    told = prepare(Request(tmp_path / "tall.png", moves="w-8", size="160x96")).plan
    assert (told.width, told.height) == (160, 96)
