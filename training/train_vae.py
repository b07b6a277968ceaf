"""VAE stage: single images first, starting as an image VAE that ignores the past, then images and walks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from lingbot_cli.model.vae import VAEConfig
from training.fused import fuse_vae
from training.vae_loss import CONFIG, KL, as_video, init_vae, reconstruction_loss, sample_reconstruction
from training.vae_training import VaeTraining, read_state
from training.views import ViewSampler
from training.workers import DEVICE

IMAGES_UNTIL = 0.08  # part of the stage's time with single images alone
IMAGES, IMAGES_WITH_CLIPS = (12, 8) if DEVICE.type == "cpu" else (96, 48)  # per step and process


def rate(progress: float) -> float:
    """Return the learning rate as a share of its peak: a warm-up, constant until three eighths, then falling."""
    return min(1.0, 0.1 + progress / 0.01) * min(1.0, 1.6 * (1 - progress) + 0.002)


def batches(views: ViewSampler, step: int, *, clips: bool) -> Iterator[Tensor]:
    """Yield the views of a step, uint8 [N, T, H, W, 3]: single images, and walks."""
    yield views.images(IMAGES_WITH_CLIPS if clips else IMAGES)
    if clips:
        yield views.clips(step)


def train(rank: int, folder: Path, minutes: float, seed: int, config: VAEConfig = CONFIG) -> None:
    """Train for that many minutes of the stage's clock, resuming from `vae.pt` if there is one."""
    fuse_vae()
    checkpoint, vae = folder / "vae.pt", init_vae(seed, config).to(DEVICE)
    training = VaeTraining(rank, checkpoint, vae, read_state(checkpoint), lr=0.015, adam_lr=2e-3)
    views = ViewSampler(np.random.default_rng(training.seed(seed)))

    def losses_of_step(step: int, progress: float) -> Iterator[tuple[Tensor, float]]:
        for views_of_step in batches(views, step, clips=progress > IMAGES_UNTIL):
            video = as_video(views_of_step.to(DEVICE))
            made, kl = sample_reconstruction(vae, video)
            loss = reconstruction_loss(made, video)
            yield loss + KL * kl, float(loss.detach())

    training.run(minutes, rate, losses_of_step)
