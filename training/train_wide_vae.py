"""Training stage 3, the wide VAE: the narrow one with more channels, on images with and without antialiasing."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.model.vae import VAE
from training.fused import fuse_vae
from training.muon import Muon
from training.vae_loss import KL, WIDE_CONFIG, as_video, reconstruction_loss, sample_reconstruction
from training.vae_report import report, validation_views
from training.views import ViewSampler
from training.widen import widen_vae
from training.workers import (
    DEVICE,
    StageClock,
    WeightAverage,
    average_gradients,
    gradients_finite,
    load_average,
    save,
)

IMAGES, CLIPS = (12, 1) if DEVICE.type == "cpu" else (96, 6)  # per step and process
SHORT_FRAMES = 13
FULL_CLIP_INTERVAL = 8  # steps
REPORT_INTERVAL_S = 240.0
LONGEST_STEP_S = 20.0


def rate(progress: float) -> float:
    """Return the learning rate as a share of its peak: half after a warm-up, then falling to zero."""
    return 0.5 * min(1.0, 0.1 + progress / 0.02) * min(1.0, 1.4 * (1 - progress) + 0.002)


def batches(views: ViewSampler, step: int) -> list[Tensor]:
    """Return the views of a step: single images, and the first frames of a walk or all of it."""
    clips = torch.cat([views.clip() for _ in range(CLIPS)])
    return [views.images(IMAGES), clips[:, :SHORT_FRAMES] if step % FULL_CLIP_INTERVAL else clips]


def train(rank: int, folder: Path, minutes: float, seed: int) -> None:
    """Train for that many minutes of the stage's clock, resuming from `wide.pt` if there is one."""
    fuse_vae()
    checkpoint = folder / "wide.pt"
    state = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else None
    if state is None:
        vae = widen_vae(load_average(folder, "vae"), WIDE_CONFIG, seed)
    else:
        vae = VAE(WIDE_CONFIG)
        vae.load_state_dict(state["model"])
    vae.to(DEVICE)
    optimiser, average = Muon(vae, lr=0.012, adam_lr=1e-3), WeightAverage(vae, 0.995)
    step, spent, total = 0, 0.0, 60 * minutes
    if state is not None:
        optimiser.load_state_dict(state["optimiser"])
        average.weights, step, spent = state["average"], state["step"], state["spent"]
    views, unseen = ViewSampler(np.random.default_rng([seed, rank, step])), validation_views()
    torch.manual_seed(1000 * seed + 10 * step + rank)
    clock, reported, losses = StageClock(spent, LONGEST_STEP_S), spent, []

    def save_and_report(losses: list[float]) -> None:
        if rank == 0:
            weights = {"model": vae.state_dict(), "optimiser": optimiser.state_dict()}
            save(checkpoint, {**weights, "average": average.weights, "step": step, "spent": spent})
            report(folder / "wide-curve.csv", average.weights, unseen, step, spent, losses)

    while (spent := clock.seconds()) < total:
        optimiser.scale(rate(spent / total))
        optimiser.zero_grad()
        for views_of_step in batches(views, step):
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
