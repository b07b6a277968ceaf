"""A tiny decoder whose frames are a linear map of the built-in model's latents, fitted by least squares."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.model.loading.load_decoder import colour_pattern
from lingbot_cli.model.loading.load_vae import load_vae
from lingbot_cli.model.tiny_decoder import TinyDecoder
from lingbot_cli.model.vae import VAE, denormalise

SAMPLES = Path(__file__).parents[2] / "samples"


@cache
def built_in_vae() -> VAE:
    return load_vae(read_checkpoint(None), torch.device("cpu"), torch.float32)


@torch.inference_mode()
def fitted_tensors(*, raw: bool = False) -> dict[str, Tensor]:
    """Return the tensors of a decoder of normalised latents, or of raw ones."""
    vae = built_in_vae()
    frames = [colour_pattern(), *map(_frame, sorted(SAMPLES.glob("*.png")))]
    rows, colours = [], []
    for frame in frames:
        latents = vae.encode(frame)
        shown = F.avg_pool2d(vae.decode(latents)[:, :, 0], 8)[0] / 2 + 0.5
        seen = denormalise(latents) if raw else latents
        rows.append((torch.tanh(seen[0, :, 0] / 3) * 3).flatten(1).T)
        colours.append(shown.flatten(1).T)
    features = torch.cat(rows)
    features = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    solution = torch.linalg.lstsq(features.double(), torch.cat(colours).double()).solution.float()
    return _tensors(solution[:-1].T, solution[-1])


def _tensors(colours: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """Return the weights that pass the latents on, positive and negative parts apart, and map them at the end."""
    tensors = {name: torch.zeros_like(value) for name, value in TinyDecoder().state_dict().items()}
    tensors["decoder.1.weight"][:16, :, 1, 1] = torch.eye(16)
    tensors["decoder.1.weight"][16:32, :, 1, 1] = -torch.eye(16)
    for name, value in tensors.items():
        if name.endswith(".conv.weight") and value.ndim == 4:  # upsampling in time: the same frame again
            for part in value.split(value.shape[1]):
                part[:, :, 0, 0] = torch.eye(value.shape[1])
        elif name in ("decoder.8.weight", "decoder.14.weight", "decoder.20.weight"):
            value[:32, :32, 1, 1] = torch.eye(32)
    tensors["decoder.22.weight"][:, :32, 1, 1] = torch.cat([colours, -colours], dim=1)
    tensors["decoder.22.bias"][:] = bias
    return tensors


def _frame(file: Path) -> Tensor:
    image = np.asarray(Image.open(file).convert("RGB").resize((112, 64)), np.float32)
    return torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1)[None, :, None]
