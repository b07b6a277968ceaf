"""Validation of the VAE: PSNR and edge retention of unseen images and walks."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data import FRAMES, SIZE
from training.edges import edge_retention
from training.vae_loss import psnr, reconstruct, restored_vae
from training.views import KINDS, ViewSampler
from training.workers import DEVICE, append_row

CLIPS = 4


def validation_views() -> dict[str, Tensor]:
    """Return images of three sizes, images of one ray per pixel, and walks as uint8 [N, T, H, W, 3]."""
    views = ViewSampler(np.random.default_rng(98))
    kinds = {name: KINDS[name] for name in ("usual", "aliased", "portrait", "large")}
    images = {name: torch.stack(views.draw_images(kind)[:12])[:, None] for name, kind in kinds.items()}
    return images | {"clip": torch.cat([views.clip(SIZE, FRAMES) for _ in range(CLIPS)])}


def report(
    path: Path,
    weights: dict[str, Tensor],
    unseen: dict[str, Tensor],
    step: int,
    spent: float,
    losses: list[float],
) -> None:
    """Append a row to the curve at `path`."""
    vae = restored_vae(weights).to(DEVICE)
    row: dict[str, float | int | str] = {"step": step, "minutes": round(spent / 60, 1)}
    row["loss"] = round(float(np.mean(losses or [0])), 4)
    for name, truth in unseen.items():
        made, truth = reconstruct(vae, truth.to(DEVICE)).cpu(), truth.cpu()
        row[f"{name}_db"] = round(float(psnr(made, truth).mean()), 2)
        for axis, share in edge_retention(made.numpy(), truth.numpy()).items():
            row[f"{name}_{axis}"] = round(share, 3)
    append_row(path, row)
