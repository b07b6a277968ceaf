"""NaN and infinite weights and latents end in a sentence, with the chunks before them kept."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lingbot_cli.control import Control
from lingbot_cli.errors import UsageError
from lingbot_cli.render.pipeline import all_finite
from lingbot_cli.render.resume_store import ResumeStore
from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
from lingbot_cli.videos.read import read_frames
from tests.support.command import lingbot
from tests.support.reference import REFERENCE

SHARD = "transformer/diffusion_pytorch_model-00002-of-00002.safetensors"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    shutil.copytree(REFERENCE / "checkpoints" / "diffusers-v1-fast", root)
    return root


def spoil(root: Path, value: float) -> str:
    tensors = load_file(root / SHARD)
    name = next(name for name in tensors if name.endswith("ffn.2.weight"))
    tensors[name][0, 0] = value
    save_file(tensors, root / SHARD)
    return name


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_verify_names_the_tensor(model: Path, value: float) -> None:
    name = spoil(model, value)
    done = lingbot("models", "verify", str(model))
    assert (done.code, f"NaN or infinite weights: {name} in the transformer (1 values)" in done.stderr) == (
        3,
        True,
    )


def test_a_render_stops_at_the_chunk_and_a_batch_fails(model: Path, tmp_path: Path) -> None:
    spoil(model, float("nan"))
    flags = ("--moves", "w-24", "--size", "32x32", "--device", "cpu", "--model", str(model))
    done = lingbot("render", "samples/courtyard-day.png", *flags, "-o", str(tmp_path / "a.mp4"))
    assert done.code == 3
    assert "chunk 1: lingbot-world-fast computed NaN or infinite latents in float32" in done.stderr
    assert not (tmp_path / "a.mp4").exists()
    shutil.copy("samples/courtyard-day.png", tmp_path / "a.png")
    (tmp_path / "jobs.yaml").write_text(f"jobs: [{{image: a.png, moves: w-8, size: 32x32, model: {model}}}]")
    batch = lingbot("batch", str(tmp_path / "jobs.yaml"), "-o", str(tmp_path / "out"))
    assert batch.code != 0
    assert "failed" in batch.stdout + batch.stderr


def test_the_chunks_before_stay_playable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lingbot_cli.model.session import Session

    denoise = Session.denoise

    def overflowing(
        session: Session, control: Control, on_clean: Callable[[torch.Tensor], None]
    ) -> torch.Tensor:
        factor = float("nan") if session.chunk == 2 else 1.0
        return denoise(session, control, lambda clean: on_clean(clean * factor)) * factor

    monkeypatch.setattr(Session, "denoise", overflowing)
    flags = ("--moves", "w-44", "--size", "64x32", "--device", "cpu")
    done = lingbot("render", "samples/courtyard-day.png", *flags, "-o", str(tmp_path / "a.mp4"))
    assert (done.code, "chunk 3: built-in computed NaN" in done.stderr) == (3, True)
    partial = tmp_path / "a.partial.mp4"
    assert f"partial output: {partial}" in done.stderr.replace("\n", "")
    assert len(list(read_frames(str(find_ffmpeg({})), partial))) == 9 + 12


def test_resume_refuses_latents_that_are_not_finite(tmp_path: Path) -> None:
    store = ResumeStore.for_output(str(tmp_path / "a.mp4"))
    with store.locked():
        store.start({"seed": "1"}, 0)
        for index, value in enumerate((0.0, np.nan)):
            store.save_chunk(index, np.full((16, 3, 4, 4), value, np.float32), {"prompt": "a"})
        with pytest.raises(UsageError, match="chunk 2 has NaN or infinite latents"):
            store.load({"seed": "1"}, [{"prompt": "a"}] * 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_among_many_is_found(value: float) -> None:
    latents = np.ones((16, 4, 60, 104), np.float32)
    assert all_finite(latents)
    assert all_finite(latents * 1e30)  # whose squares overflow
    latents[3, 2, 10, 20] = value
    assert not all_finite(latents)
