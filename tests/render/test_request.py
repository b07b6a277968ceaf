"""What is known of a film before its world is loaded."""

import json
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from PIL import Image

from lingbot_cli.errors import UsageError
from lingbot_cli.presets import PRESETS
from lingbot_cli.remote.client import EngineAddress, RemoteModel, RemoteTarget
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


@pytest.mark.parametrize(
    "given",
    [
        {"text_encoder": Path("a.pth")},
        {"encode": "float32"},
        {"steps": (0, 500)},
        {"sink": 0},
        {"compile": False},
        {"precision": "bfloat16"},
        {"lora": ("a.safetensors",)},
        {"fast": True},
        {"kv_cache": "int8"},
    ],
)
def test_a_server_refuses_each_option_that_it_decides(tmp_path, given):
    Image.new("RGB", (112, 64)).save(tmp_path / "image.png")
    remote = RemoteTarget(
        EngineAddress("ws://127.0.0.1:9"), RemoteModel(PRESETS["built-in"], True, "a"), True
    )
    request = Request(tmp_path / "image.png", moves="w-8", options=ModelOptions(**given), remote=remote)
    flag = next(iter(given)).replace("_", "-")
    with pytest.raises(UsageError, match=f"--engine: the server decides --{flag}$"):
        prepare(request)
    named = replace(request, options=ModelOptions(model="built-in", preset="built-in"))
    assert prepare(named).model is remote.model


def test_the_size_follows_the_image_and_the_flag_wins(tmp_path):
    Image.new("RGB", (300, 500)).save(tmp_path / "tall.png")
    tall = prepare(Request(tmp_path / "tall.png", moves="w-8")).plan
    assert tall.height > tall.width
    assert tall.height % 16 == tall.width % 16 == 0
    told = prepare(Request(tmp_path / "tall.png", moves="w-8", size="160x96")).plan
    assert (told.width, told.height) == (160, 96)
