"""VAE stage: single images, then small crops of clips, then the decoder alone."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.model.vae import VAE
from training.data import Clips
from training.fused import fuse_norms
from training.muon import Muon
from training.vae_loss import CONFIG, as_video, init_vae, loss, psnr, reconstruct
from training.workers import (
    DEVICE,
    StageClock,
    WeightAverage,
    append_row,
    average_gradients,
    gradients_finite,
    save,
)

ON_CPU = DEVICE.type == "cpu"
CROP = 40 if ON_CPU else 64
IMAGES, CROPS = (8, 1) if ON_CPU else (128, 12)  # in a batch
IMAGES_UNTIL, CLIPS_UNTIL = 0.15, 0.85  # parts of the stage's time
REPORT_INTERVAL_S = 180.0


def image_batch(clips: Clips, rng: np.random.Generator, count: int) -> Tensor:
    """Return random frames as one-frame clips [count, 1, H, W, 3]."""
    which, when = rng.integers(len(clips.video), size=count), rng.integers(clips.video.shape[1], size=count)
    return torch.from_numpy(np.stack([clips.video[i, t] for i, t in zip(which, when, strict=True)]))[:, None]


def crop_batch(clips: Clips, rng: np.random.Generator) -> Tensor:
    """Return random crops of whole clips [CROPS, 57, CROP, CROP, 3]."""
    height, width = clips.video.shape[2:4]
    cut = []
    for _ in range(CROPS):
        i, y, x = (
            rng.integers(len(clips.video)),
            rng.integers(height - CROP + 1),
            rng.integers(width - CROP + 1),
        )
        cut.append(clips.video[i, :, y : y + CROP, x : x + CROP])
    return torch.from_numpy(np.stack(cut))


def rate(progress: float) -> float:
    """Return the learning rate as a share of its peak: full for images, half and falling for clips, then low."""
    if progress < IMAGES_UNTIL:
        return min(1.0, 0.1 + progress / 0.01)
    if progress < CLIPS_UNTIL:
        return 0.5 * min(1.0, 1.6 * (CLIPS_UNTIL - progress) / (CLIPS_UNTIL - IMAGES_UNTIL)) + 0.005
    return 0.2 * (1 - progress) / (1 - CLIPS_UNTIL)


def train(rank: int, folder: Path, minutes: float, seed: int) -> None:
    """Train for that many minutes of the stage's clock, resuming from `vae.pt` if there is one."""
    if ON_CPU:
        fuse_norms()
    clips, unseen = Clips.open(folder / "data"), Clips.open(folder / "held-out")
    shown = torch.from_numpy(unseen.video[:6].copy()).to(DEVICE)
    vae = init_vae(seed).to(DEVICE)
    checkpoint = folder / "vae.pt"
    optimiser, average = Muon(vae, lr=0.02, adam_lr=2e-3), WeightAverage(vae, 0.995)
    step, spent, total, decoder_only = 0, 0.0, 60 * minutes, False
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=DEVICE)
        vae.load_state_dict(state["model"])
        average.weights, step, spent = state["average"], state["step"], state["spent"]
        decoder_only = spent >= CLIPS_UNTIL * total
        optimiser = _freeze_encoder(vae) if decoder_only else optimiser
        if _same_weights(state["optimiser"], optimiser):  # not after more time has unfrozen the encoder again
            optimiser.load_state_dict(state["optimiser"])
    rng = np.random.default_rng([seed, rank, step])
    torch.manual_seed(1000 * seed + 10 * step + rank)
    clock, reported, losses = StageClock(spent), spent, []
    while (spent := clock.seconds()) < total:
        progress = spent / total
        if progress >= CLIPS_UNTIL and not decoder_only:
            decoder_only = True
            vae.load_state_dict(average.weights)
            optimiser = _freeze_encoder(vae)
        optimiser.scale(rate(progress))
        single = progress < IMAGES_UNTIL or step % 6 == 0
        batch = as_video((image_batch(clips, rng, IMAGES) if single else crop_batch(clips, rng)).to(DEVICE))
        value = loss(vae, batch, encoder_frozen=decoder_only)
        optimiser.zero_grad()
        value.backward()
        average_gradients(vae)
        if gradients_finite(vae):
            optimiser.step()
            average.follow(vae, step)
        step += 1
        losses.append(float(value.detach()))
        if spent - reported > REPORT_INTERVAL_S:
            reported = spent
            if rank == 0:
                state = {"model": vae.state_dict(), "optimiser": optimiser.state_dict()}
                save(checkpoint, {**state, "average": average.weights, "step": step, "spent": spent})
                _report(folder, average, shown, step, spent, float(np.mean(losses)))
            losses = []
    if rank == 0:
        save(folder / "vae-final.pt", {"average": average.weights, "step": step, "spent": spent})
        _report(folder, average, shown, step, spent, float(np.mean(losses or [0])))


def _same_weights(saved: dict[str, Any], optimiser: Muon) -> bool:
    now = optimiser.state_dict()["param_groups"]
    return [len(g["params"]) for g in saved["param_groups"]] == [len(g["params"]) for g in now]


def _freeze_encoder(vae: VAE) -> Muon:
    """Freeze the encoder, so that latents stay valid, and return an optimiser for the decoder."""
    for part in (vae.encoder, vae.conv1):
        part.requires_grad_(False)
    return Muon(vae, lr=0.02, adam_lr=2e-3)


def _report(
    folder: Path, average: WeightAverage, unseen: Tensor, step: int, spent: float, value: float
) -> None:
    vae = VAE(CONFIG).to(DEVICE)
    vae.load_state_dict(average.weights)
    stills, clips = unseen[:, ::14].flatten(0, 1)[:, None], unseen[:3]
    still, clip = psnr(reconstruct(vae, stills), stills), psnr(reconstruct(vae, clips), clips)
    append_row(
        folder / "vae-curve.csv",
        {
            "step": step,
            "minutes": round(spent / 60, 1),
            "loss": round(value, 4),
            "picture_db": round(float(still.mean()), 2),
            "clip_db": round(float(clip.mean()), 2),
            "first_db": round(float(clip[0]), 2),
            "last_db": round(float(clip[-9:].mean()), 2),
        },
    )
