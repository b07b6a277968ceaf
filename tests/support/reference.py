"""Recorded tensors and the tiny models that they were recorded with."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from lingbot_cli.control import Control
from lingbot_cli.model.transformer import Transformer, TransformerConfig
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.presets import Preset

REFERENCE = Path(__file__).parents[1] / "data" / "reference"
CASES = sorted(path.parent for path in (REFERENCE / "cases").glob("*/case.json"))


def settings(case: Path) -> dict[str, Any]:
    """Return the settings of a recorded case."""
    return json.loads((case / "case.json").read_text())


@cache
def recorded(case: Path) -> dict[str, Tensor]:
    """Return the tensors of a recorded case."""
    return load_file(case / "expected.safetensors")


@cache
def tiny_vae() -> VAE:
    """Return the VAE of the recorded cases."""
    vae = VAE(VAEConfig(dim=8))
    vae.load_state_dict(load_file(REFERENCE / "weights" / "vae.safetensors"))
    return vae.eval().requires_grad_(False)


@cache
def tiny_world(control: str = "cam", chunk: int = 3, window: int = 6, sink: int = 1) -> WorldModel:
    """A world of the recorded cases' weights whose text is the recorded one for every prompt but ''."""
    preset = Preset(
        name="tiny",
        dim=96,
        heads=4,
        layers=3,
        ffn=192,
        chunk=chunk,
        window=window,
        sink=sink,
        steps=(0, 179, 358, 679),
        shift=10.0,
        licence="",
        control=cast(Literal["cam", "act"], control),
        text_dim=48,
        text_len=24,
        freq_dim=64,
    )
    transformer = Transformer(TransformerConfig.of(preset))
    transformer.load_state_dict(load_file(REFERENCE / "weights" / f"transformer-{control}.safetensors"))
    transformer.eval().requires_grad_(False)
    return WorldModel(preset, transformer, tiny_vae(), TinyText(), torch.device("cpu"))


class TinyText:
    """Text encoder whose embeddings are drawn from the prompt alone."""

    def encode(self, prompt: str) -> Tensor:
        generator = torch.Generator().manual_seed(sum(prompt.encode()))
        return torch.randn(17, 48, generator=generator)


def walk(chunks: int, chunk: int = 3, prompt: str = "a courtyard") -> list[Control]:
    """Return the controls of a walk forward that turns right, one pose a latent frame."""
    poses = np.tile(np.eye(4), (chunks * chunk, 1, 1))
    angles = np.radians(8.0) * np.arange(len(poses))
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angles)
    poses[:, 0, 2], poses[:, 2, 0] = np.sin(angles), -np.sin(angles)
    poses[:, :3, 3] = np.cumsum(poses[:, :3, 2] * 0.2, axis=0)
    lens = np.tile([500.0, 500.0, 416.0, 240.0], (chunk, 1))
    return [
        Control(part, lens, np.zeros((chunk, 4), np.float32), prompt, frames=4 * chunk)
        for part in poses.reshape(chunks, chunk, 4, 4)
    ]


def sample_image(height: int = 48, width: int = 80, seed: int = 0) -> np.ndarray:
    """Return an image [H, W, 3] uint8 of smooth colours."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(3 * rows + 5 * columns + seed + phase) for phase in range(3)]
    return ((np.stack(waves, axis=-1) + 1) * 127).astype(np.uint8)
