"""Loading a served model: kernel, threads and compilation by the flags of a render."""

import json
from pathlib import Path

import pytest
import torch

from lingbot_cli.errors import InsufficientMemoryError
from lingbot_cli.model.accel import torch_compile
from lingbot_cli.model.accel.offload import StreamedBlocks
from lingbot_cli.model.attention import attend_all
from lingbot_cli.presets import PRESETS
from lingbot_cli.render import preflight
from lingbot_cli.runtime import load_model
from lingbot_cli.runtime.autotune import KERNELS_FILE, attention_shape, pick_kernel, read_measurements
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.server.serve import load_served_model
from lingbot_cli.server.service import SessionDefaults
from tests.support.command import lingbot
from tests.support.reference import sample_image

IMAGE = Path(__file__).parents[2] / "samples" / "courtyard-day.png"

OFFER = SessionDefaults(sample_image(), "a court", height=32, width=48)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_the_kernel_measured_for_its_size_is_used(folder):
    pick_kernel(attention_shape(PRESETS["built-in"], 32, 48), torch.device("cpu"), torch.float32)
    (key,) = read_measurements(KERNELS_FILE, "kernel")
    (folder / KERNELS_FILE).write_text(json.dumps({key: {"kernel": "math"}}))
    notes = []
    world, _ = load_served_model(ModelOptions(device="cpu"), OFFER, notes.append)
    assert world.attend is not attend_all
    size_note, kernel_note = notes
    assert "was not trained at 48x32" in size_note
    assert kernel_note.startswith("self-attention: math · ")


def test_it_takes_the_flags_of_render(folder):
    notes = []
    options = ModelOptions(
        device="cpu", kernel="torch", threads=1, offload=True, compile=True, decode="bfloat16"
    )
    world, _ = load_served_model(options, OFFER, notes.append)
    assert world.attend is attend_all
    assert isinstance(world.transformer.blocks, StreamedBlocks)
    assert world.vae.conv2.weight.dtype == torch.bfloat16
    assert notes[1:] == [
        "self-attention: torch · 1 CPU thread",
        "--compile has no effect with --offload: the blocks stay eager",
    ]
    assert not (folder / KERNELS_FILE).exists()


def test_live_modes_compile_where_a_render_does(monkeypatch):
    compiled = []
    monkeypatch.setattr(
        torch_compile, "should_compile", lambda asked, device: compiled.append((asked, device)) or True
    )
    monkeypatch.setattr(torch_compile, "compile_or_warn", lambda _, *size, **__: compiled.append(size))
    words = (str(IMAGE), "--moves", "w-9", "--device", "cpu", "--size", "48x32")
    assert lingbot("render", *words, "-o", "null:").code == 0
    assert lingbot("stream", *words, "--to", "null:").code == 0
    load_served_model(ModelOptions(device="cpu"), OFFER, lambda _: None)
    assert compiled == [(None, "cpu"), (32, 48)] * 3


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(monkeypatch):
    monkeypatch.setattr(preflight, "free_ram", lambda: 10**8)
    monkeypatch.setattr(load_model, "load_tuned", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(InsufficientMemoryError, match="built-in at 48x32 needs") as error:
        load_served_model(ModelOptions(device="cpu"), OFFER, lambda _: None)
    assert error.value.hint


@pytest.mark.parametrize(
    "offer", [SessionDefaults(), SessionDefaults(sample_image())], ids=["no picture", "a picture"]
)
def test_the_default_size_is_the_models(offer):
    notes = []
    assert load_served_model(ModelOptions(device="cpu"), offer, notes.append)[0].preset.name == "built-in"
    assert len(notes) == 1
