"""Layout detection, equal tensors from both layouts, errors for other folders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.checkpoints.layouts import detect_layout
from lingbot_cli.control import Control
from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.command import lingbot
from tests.support.reference import REFERENCE

ORIGINAL = REFERENCE / "checkpoints" / "original-v1-fast"
DIFFUSERS = REFERENCE / "checkpoints" / "diffusers-v1-fast"


def test_both_layouts_hold_the_same_world() -> None:
    original, diffusers = load_model(ORIGINAL), load_model(DIFFUSERS)
    for part in ("transformer", "vae"):
        ours, theirs = getattr(original, part).state_dict(), getattr(diffusers, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for setting in ("chunk", "window", "sink", "steps", "shift", "heads"):
        assert getattr(original.preset, setting) == getattr(diffusers.preset, setting)


def test_a_config_that_differs_is_reported_with_both_values() -> None:
    said = [str(difference) for difference in read_checkpoint(ORIGINAL).differences]
    assert "window: preset 18, checkpoint -1; 18 is used" in said
    assert "dim: preset 5120, checkpoint 96; 96 is used" in said


def test_identity_follows_the_content() -> None:
    first = read_checkpoint(ORIGINAL)
    assert first.identity == read_checkpoint(ORIGINAL).identity != read_checkpoint(None).identity


def test_a_folder_of_something_else_lists_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "holiday.png").touch()
    with pytest.raises(SetupError, match=r"found: holiday\.png;") as error:
        detect_layout(tmp_path)
    assert "model_index.json" in str(error.value)


def test_the_small_published_model_asks_for_assets(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(SetupError, match=r"missing: Wan2\.1_VAE\.pth, models_t5") as error:
        detect_layout(tmp_path)
    assert "--assets" in (error.value.hint or "")
    for assets in (ORIGINAL, DIFFUSERS):
        assert detect_layout(tmp_path, assets).kind == "v2 1.3B original"


@pytest.mark.parametrize(
    ("assets", "code", "sentence"),
    [
        ("nope", 3, "--assets nope: no such folder"),
        (str(ORIGINAL / "Wan2.1_VAE.pth"), 3, "Wan2.1_VAE.pth: is a file, not a folder"),
        (str(ORIGINAL), 2, "has all its parts"),
    ],
)
@pytest.mark.parametrize("model", ["built-in", str(DIFFUSERS)])
def test_assets_that_help_nothing_are_refused(model: str, assets: str, code: int, sentence: str) -> None:
    film = ("render", "samples/courtyard-day.png", "--moves", "w-4", "-o", "null:", "--device", "cpu")
    for command in (
        (*film, "--model", model),
        (*film, "--dry-run", "--model", model),
        ("models", "show", model),
    ):
        done = lingbot(*command, "--assets", assets)
        assert (done.code, sentence in done.stderr) == (code, True)


def test_the_flat_layout_of_v1_has_sixteen_shards(tmp_path: Path) -> None:
    root, whole = tmp_path / "model", read_tensors(ORIGINAL / "lingbot_world_fast")
    root.mkdir()
    shutil.copy(ORIGINAL / "lingbot_world_fast" / "config.json", root)
    names, places = sorted(whole), {}
    for shard in range(16):
        file = f"diffusion_pytorch_model-{shard + 1:05d}-of-00016.safetensors"
        save_file({name: whole[name] for name in names[shard::16]}, root / file)
        places |= dict.fromkeys(names[shard::16], file)
    (root / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    flat = read_checkpoint(root, ORIGINAL)
    assert (flat.layout.kind, flat.preset.name) == ("v1 flat", "lingbot-world-fast")
    ours = load_model(root, ModelOptions(assets=ORIGINAL)).transformer.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in whole.items())
    root.rename(tmp_path / "transformers")  # the part of a v2 14B, given alone
    with pytest.raises(UsageError, match="fits lingbot-world-fast and"):
        read_checkpoint(tmp_path / "transformers", ORIGINAL)


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def test_names_that_are_no_model() -> None:
    with pytest.raises(UsageError, match="neither a folder, a file nor a known model"):
        read_checkpoint("no-such-world")


def test_both_layouts_make_the_same_film(cache: Path) -> None:
    films = []
    for root in (ORIGINAL, DIFFUSERS):
        session = Session(load_model(root), np.full((32, 48, 3), 90, np.uint8), height=32, width=48)
        poses = np.tile(np.eye(4), (3, 1, 1))
        poses[:, 2, 3] = [0.0, 0.2, 0.4]
        lens = np.tile([400.0, 400.0, 416.0, 240.0], (3, 1))
        control = Control(poses, lens, np.zeros((3, 4), np.float32), "a gate", 9)
        latents = session.denoise(control)
        films.append((latents, session.decode(latents)))
    (latents, frames), (other_latents, other_frames) = films
    torch.testing.assert_close(latents, other_latents, atol=1e-5, rtol=0)
    assert torch.equal(frames, other_frames)
    assert frames.float().std() > 0
    assert len(list((cache / "prompts").iterdir())) == 2  # each text encoder's rows under its own name
