"""Conversion of other layouts to our own, with equal tensors."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors import safe_open

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.cli import run
from lingbot_cli.errors import UsageError
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.loading.packed_layers import PackedLinear
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.command import lingbot
from tests.support.packed_checkpoint import transformer_tensors, write_gguf
from tests.support.reference import REFERENCE

CHECKPOINTS = REFERENCE / "checkpoints"


@pytest.mark.parametrize("layout", ["original-v1-fast", "diffusers-v1-fast"])
def test_float32_loses_nothing(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "ours"
    assert run(["models", "convert", str(CHECKPOINTS / layout), str(folder), "--to", "float32"]) == 0
    assert {file.name for file in folder.iterdir()} == {
        "lingbot.json", "transformer.safetensors", "vae.safetensors", "text_encoder.safetensors", "tokenizer.json",
    }  # fmt: skip
    ours, theirs = load_model(folder), load_model(CHECKPOINTS / layout)
    for part in ("transformer", "vae"):
        state = getattr(ours, part).state_dict()
        assert all(torch.equal(state[name], t) for name, t in getattr(theirs, part).state_dict().items())
    assert torch.equal(ours.text_encoder.encode("a gate"), theirs.text_encoder.encode("a gate"))
    for setting in ("name", "dim", "heads", "chunk", "window", "sink", "steps", "shift", "text_len"):
        assert getattr(ours.preset, setting) == getattr(theirs.preset, setting)
    assert ours.preset.vae_dim == theirs.vae.config.dim


def test_fp8_is_kept_and_loaded_as_fp8(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    source = CHECKPOINTS / "diffusers-v1-fast"
    assert run(["models", "convert", str(source), str(folder), "--to", "fp8"]) == 0
    kept = load_model(folder).transformer.state_dict()
    made = load_model(source, ModelOptions(precision="fp8")).transformer.state_dict()
    assert kept.keys() == made.keys()
    for name, tensor in kept.items():
        # Kept through bfloat16, made from float32: a value may fall on the other side of a step.
        torch.testing.assert_close(tensor.float(), made[name].float(), rtol=0.14, atol=0.01)
    with pytest.raises(UsageError, match="weights are fp8"):
        load_model(folder, ModelOptions(precision="float32"))
    with safe_open(folder / "transformer.safetensors", "pt") as file:  # the format's own reader agrees
        assert file.get_tensor("blocks.0.ffn.0.weight").dtype == torch.float8_e4m3fn


@pytest.mark.parametrize(("to", "kind"), [("gguf-q8", "Q8_0"), ("gguf-q4", "Q4_0")])
def test_gguf_is_what_the_package_writes_and_is_loaded_packed(to: str, kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    done = lingbot("models", "convert", str(CHECKPOINTS / "diffusers-v1-fast"), str(folder), "--to", to)
    assert done.code == 0, done.stderr
    theirs = write_gguf(tmp_path / "theirs.gguf", transformer_tensors(), kind)
    reader = gguf.GGUFReader(folder / "transformer.gguf")
    assert reader.get_field("general.architecture").contents() == "wan"
    packed = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "theirs.gguf").tensors}
    for tensor in reader.tensors:
        if tensor.tensor_type.name == kind:
            assert np.array_equal(tensor.data, packed[tensor.name].data), tensor.name
    checkpoint = read_checkpoint(folder)
    assert (checkpoint.packing, checkpoint.preset.name) == (kind, "lingbot-world-fast")
    world = load_model(checkpoint)
    layers = {n: each for n, each in world.transformer.named_modules() if isinstance(each, PackedLinear)}
    assert len(layers) == 3 * 14
    for name, layer in layers.items():
        torch.testing.assert_close(layer.unpack(torch.float32), theirs[f"{name}.weight"], rtol=1e-6, atol=0)
    exact = dict(world.transformer.named_parameters())
    for name, value in theirs.items():
        if name in exact:
            torch.testing.assert_close(exact[name], value, rtol=2**-8, atol=0)


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    assert run(["models", "convert", "built-in", str(tmp_path)]) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_nothing_is_left_of_a_conversion_that_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert run(["models", "convert", "built-in", str(tmp_path / "file" / "new")]) == 4
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_what_was_converted_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "show", str(CHECKPOINTS / "original-v1-fast")]) == 0
    shown = capsys.readouterr().out
    assert "layout: v1 original" in shown
    assert "window: preset 18, checkpoint -1; 18 is used" in shown
    assert read_checkpoint(CHECKPOINTS / "original-v1-fast").identity in shown


def test_a_model_that_is_not_here_is_shown_with_how_to_get_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(cache))
    assert run(["models", "show", "lingbot-world-fast"]) == 0
    shown = capsys.readouterr().out
    assert "size: 70.0 GB" in shown
    assert "download: lingbot models pull lingbot-world-fast" in shown
    assert run(["models", "list"]) == 0
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80
