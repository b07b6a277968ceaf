"""Transformer stage: trained for the few-step sampler, later with its own past (self forcing)."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_cli.model.transformer import Transformer, TransformerConfig
from training.batches import BatchSampler, add_noise, prompt_pool
from training.data import LARGE, PORTRAIT, SIZE
from training.deepen import deepened
from training.fused import use_unfused_attention
from training.init_transformer import init_transformer
from training.latents import clip_files, size_folder
from training.muon import Muon
from training.teacher_forcing import PRESET, Batch, TeacherForcing, compile_training, loss
from training.workers import (
    DEVICE,
    StageClock,
    WeightAverage,
    append_row,
    average_gradients,
    save,
)

CLIPS = {SIZE: 4, PORTRAIT: 4, LARGE: 1}  # per step and process, on a CPU
GPU_CLIPS = 32  # times as many on a GPU
GPU_RATE = 2.0  # and the learning rate
REFRESH_INTERVAL_S = 15.0  # looks for new clips
STILL_WEIGHT = 4.0  # loss weight of chunks with a standing camera: easy, but any error shows
REPORT_INTERVAL_S = 240.0


@dataclass(frozen=True)
class Course:
    """How the transformer trains: from random weights, or on from trained ones.

    `lr` is Muon's peak; `own_past_from` the share of the time from which every second step uses the model's own past;
    `pose_weight` the weight of the pose loss at first, and at the end; `odds` those of the sizes.
    """

    lr: float
    own_past_from: float
    pose_weight: tuple[float, float]
    odds: tuple[float, float, float]


DRAFT = Course(lr=0.013, own_past_from=0.6, pose_weight=(0.5, 0.1), odds=(0.84, 0.08, 0.08))
CONTINUED = Course(lr=0.006, own_past_from=0.1, pose_weight=(0.1, 0.1), odds=(0.58, 0.14, 0.28))
_PLAIN = ("patch_embedding", "head", "text_embedding", "time_", "pose")


class Learner(nn.Module):
    """The transformer with a training-only head that predicts the camera's pose from a middle block."""

    def __init__(self, world: Transformer) -> None:
        super().__init__()
        self.world = world
        self.pose = nn.Linear(world.config.dim, 6)
        nn.init.normal_(self.pose.weight, std=0.02)
        nn.init.zeros_(self.pose.bias)
        self.middle = torch.empty(0)
        middle = world.blocks[len(world.blocks) // 2]
        middle.register_forward_hook(lambda _, __, out: setattr(self, "middle", out))

    def pose_logits(self, latents_a_chunk: int) -> Tensor:
        """Return the predicted pose [N, c, 6] of the latest pass over N chunks."""
        tokens = self.middle.unflatten(1, (latents_a_chunk, -1)).mean(2)
        return self.pose(tokens)


def rate(progress: float) -> float:
    """Return the learning rate as a share of its peak: full for the first half, then falling to zero."""
    return min(1.0, 0.1 + progress / 0.02) * min(1.0, 2 * (1 - progress) + 0.01)


def compute_losses(
    learner: Learner, batch: Batch, rng: np.random.Generator, generator: torch.Generator, own_past: bool
) -> tuple[Tensor, Tensor]:
    """Return a batch's flow loss and pose loss."""
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        prepared = TeacherForcing(learner.world, batch)
        past = batch.clean
        if own_past:
            made = prepared.rollout(0, again=rng.random() < 0.3)
            keep = (batch.starts[:, 1] == 3).float()[:, None] * torch.ones_like(batch.counts)
            own = torch.maximum(keep, batch.counts)[..., None, None, None, None]
            past = own * made + (1 - own) * batch.clean
        blur = 0.12 * torch.rand(*past.shape[:2], 1, 1, 1, 1, generator=generator, device=DEVICE)
        past = past + blur * torch.randn(past.shape, generator=generator, device=DEVICE)
        noisy, sigma, t = add_noise(batch.clean, 1, generator)
        flow = prepared.run([past, *noisy], [torch.zeros_like(t[0]), *t])
        where = learner.pose_logits(batch.clean.shape[3])
    weighed = replace(batch, counts=batch.counts * (1 + (STILL_WEIGHT - 1) * batch.stands))
    pictures = loss(flow[1:].float(), noisy, sigma, weighed)
    asked = batch.where.expand(2, *batch.where.shape)
    apart = F.smooth_l1_loss(where.float().view_as(asked), asked, reduction="none")
    missed = 2 * apart.mean(dim=(3, 4)) * batch.counts
    return pictures, missed.sum() / batch.counts.sum() / 2


def train(rank: int, folder: Path, minutes: float, seed: int) -> None:
    """Train for that many minutes of the stage's clock, resuming from `world.pt` if there is one."""
    if DEVICE.type == "cpu":
        use_unfused_attention()
    compile_training(dynamic=DEVICE.type != "cpu")
    prompts = prompt_pool(folder, seed)
    sources = [BatchSampler.of_files(clip_files(folder, size), prompts) for size in CLIPS]
    unseen = BatchSampler.of_files([size_folder(folder, SIZE) / "held-out.pt"], prompts)
    world, course = _start(folder, init_transformer(sources[0].data, seed))
    learner = Learner(world).to(DEVICE)
    checkpoint = folder / "world.pt"
    lr = course.lr * (1 if DEVICE.type == "cpu" else GPU_RATE)
    optimiser = Muon(learner, lr=lr, adam_lr=lr / 13, plain=[f"world.{p}" for p in _PLAIN] + ["pose"])
    average = WeightAverage(world, 0.993)
    step, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=DEVICE)
        learner.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.weights, step, spent = state["average"], state["step"], state["spent"]
    rng = np.random.default_rng([seed, rank, step])
    generator = torch.Generator(DEVICE).manual_seed(1000 * seed + 10 * step + rank)
    clock, total, losses = StageClock(spent), 60 * minutes, []
    reported = refreshed = spent
    report_interval_s = min(REPORT_INTERVAL_S, total / 8)
    while (spent := clock.seconds()) < total:
        progress = spent / total
        optimiser.scale(rate(progress))
        if spent - refreshed > REFRESH_INTERVAL_S:
            refreshed = spent
            for source in sources:
                source.add(clip_files(folder, source.data.size))
        source = sources[rng.choice(len(sources), p=course.odds)]
        count = CLIPS[source.data.size] * (1 if DEVICE.type == "cpu" else GPU_CLIPS)
        batch = source.batch(rng, count)
        pictures, missed = compute_losses(
            learner, batch, rng, generator, progress > course.own_past_from and step % 2 == 0
        )
        optimiser.zero_grad()
        (pictures + float(np.interp(progress, (0, 1), course.pose_weight)) * missed).backward()
        average_gradients(learner)
        if torch.isfinite(nn.utils.clip_grad_norm_(learner.parameters(), 2.0)):
            optimiser.step()
            average.follow(world, step)
        step += 1
        losses.append(torch.stack([pictures.detach(), missed.detach()]))  # read later: no wait for a GPU
        if spent - reported > report_interval_s:
            reported = spent
            if rank == 0:
                state = {"model": learner.state_dict(), "optimiser": optimiser.state_dict()}
                save(checkpoint, {**state, "average": average.weights, "step": step, "spent": spent})
                _report(folder, average, unseen, step, spent, losses)
            losses = []
    if rank == 0:
        save(folder / "world-final.pt", {"average": average.weights, "step": step, "spent": spent})
        _report(folder, average, unseen, step, spent, losses)


def _start(folder: Path, world: Transformer) -> tuple[Transformer, Course]:
    """Return the transformer with the weights of `world-start.pt`, if there is one, and how it trains."""
    path = folder / "world-start.pt"
    if not path.exists():
        return world, DRAFT
    weights = torch.load(path, weights_only=True)["average"]
    world.load_state_dict(deepened(weights, world.config.layers))
    return world, CONTINUED


@torch.no_grad()
def _report(
    folder: Path,
    average: WeightAverage,
    unseen: BatchSampler,
    step: int,
    spent: float,
    losses: list[Tensor],
) -> None:
    """Log the averaged weights' error on unseen clips, with the true past and with their own."""
    world = Transformer(TransformerConfig.of(PRESET)).to(DEVICE)
    world.load_state_dict(average.weights)
    batch = unseen.batch(np.random.default_rng(5), 8)
    generator = torch.Generator().manual_seed(5)
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        prepared = TeacherForcing(world, batch)
        noise = torch.randn(1, *batch.clean.shape, generator=generator).to(DEVICE)
        sigma = torch.full(noise.shape[:3], 0.9998, device=DEVICE)
        flow = prepared.run(
            [batch.clean, noise[0]], [torch.zeros_like(sigma[0]), 999 * torch.ones_like(sigma[0])]
        )
        alone = prepared.rollout(1, again=False)
    pictures, missed = torch.stack(losses or [torch.zeros(2)]).mean(0).tolist()
    apart = (alone - batch.clean).square().mean(dim=(2, 3, 4, 5)) * batch.counts
    append_row(
        folder / "world-curve.csv",
        {
            "step": step,
            "minutes": round(spent / 60, 1),
            "loss": round(pictures, 4),
            "pose": round(missed, 4),
            "unseen": round(float(loss(flow[1:].float(), noise, sigma, batch)), 4),
            "alone": round(float(apart[:, 1:].sum() / batch.counts[:, 1:].sum()), 4),
        },
    )
