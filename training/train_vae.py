"""VAE stage: single images first, starting as an image VAE that ignores the past, then images and walks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.fused import fuse_vae
from training.muon import Muon
from training.vae_loss import KL, as_video, init_vae, reconstruction_loss, sample_reconstruction
from training.vae_report import report, validation_views
from training.views import ViewSampler
from training.workers import (
    DEVICE,
    StageClock,
    WeightAverage,
    average_gradients,
    gradients_finite,
    save,
)

IMAGES_UNTIL = 0.08  # part of the stage's time with single images alone
IMAGES, IMAGES_WITH_CLIPS = (12, 8) if DEVICE.type == "cpu" else (96, 48)  # per step and process
REPORT_INTERVAL_S = 240.0
LONGEST_STEP_S = 20.0


def rate(progress: float) -> float:
    """Return the learning rate as a share of its peak: a warm-up, constant until three eighths, then falling."""
    return min(1.0, 0.1 + progress / 0.01) * min(1.0, 1.6 * (1 - progress) + 0.002)


def batches(views: ViewSampler, step: int, *, clips: bool) -> Iterator[Tensor]:
    """Yield the views of a step, uint8 [N, T, H, W, 3]: single images, and walks."""
    yield views.images(IMAGES_WITH_CLIPS if clips else IMAGES)
    if clips:
        yield views.clips(step)


def train(rank: int, folder: Path, minutes: float, seed: int) -> None:
    """Train for that many minutes of the stage's clock, resuming from `vae.pt` if there is one."""
    fuse_vae()
    vae, checkpoint = init_vae(seed).to(DEVICE), folder / "vae.pt"
    optimiser, average = Muon(vae, lr=0.015, adam_lr=2e-3), WeightAverage(vae, 0.995)
    step, spent, total = 0, 0.0, 60 * minutes
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=DEVICE)
        vae.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.weights, step, spent = state["average"], state["step"], state["spent"]
    views = ViewSampler(np.random.default_rng([seed, rank, step]))
    unseen = validation_views() if rank == 0 else {}
    torch.manual_seed(1000 * seed + 10 * step + rank)
    clock, reported, losses = StageClock(spent, LONGEST_STEP_S), spent, []

    def save_and_report(losses: list[float]) -> None:
        if rank == 0:
            weights = {"model": vae.state_dict(), "optimiser": optimiser.state_dict()}
            save(checkpoint, {**weights, "average": average.weights, "step": step, "spent": spent})
            report(folder / "vae-curve.csv", average.weights, unseen, step, spent, losses)

    while (spent := clock.seconds()) < total:
        optimiser.scale(rate(spent / total))
        optimiser.zero_grad()
        for views_of_step in batches(views, step, clips=spent > IMAGES_UNTIL * total):
            video = as_video(views_of_step.to(DEVICE))
            made, kl = sample_reconstruction(vae, video)
            loss = reconstruction_loss(made, video)
            (loss + KL * kl).backward()
            losses.append(float(loss.detach()))
        average_gradients(vae)
        if gradients_finite(vae):
            optimiser.step()
            average.follow(vae, step)
        step += 1
        if spent - reported > REPORT_INTERVAL_S:
            reported = spent
            save_and_report(losses)
            losses = []
    save_and_report(losses)
