"""Sizes of the measurements: those of the published models, or toy sizes for a CPU."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.control import Control
from lingbot_cli.diagnostics.timers import DeviceTimer, HostTimer, Timer
from lingbot_cli.model.loading.random_weights import random_checkpoint, random_model
from lingbot_cli.model.session import Session
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.presets import PRESETS, Preset
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.reference import sample_image, walk

SMALL, LARGE = "lingbot-world-v2-1.3b-causal-fast", "lingbot-world-v2-14b-causal-fast"


@dataclass(frozen=True)
class Sizes:
    """Presets of the two models, a video's size and measured chunks, and the shapes of single operations.

    `attention`: queries and keys in tokens, and the numbers of heads. `products`: channels in and out.
    """

    small: Preset
    large: Preset
    height: int
    width: int
    chunks: int
    attention: tuple[int, int, tuple[int, ...]]
    products: tuple[tuple[int, int], ...]
    rounds: int

    @property
    def tokens(self) -> int:
        """Tokens of a chunk."""
        return self.small.chunk * self.height * self.width // 256


FULL = Sizes(
    small=PRESETS[SMALL],
    large=PRESETS[LARGE],
    height=480,
    width=832,
    chunks=4,
    attention=(6240, 28080, (12, 40)),
    products=((1536, 1536), (1536, 8960), (5120, 5120), (13824, 5120)),
    rounds=10,
)
_TOY = {"layers": 3, "text_dim": 16, "text_len": 8, "freq_dim": 32, "vae_dim": 8, "vae_blocks": 1}
_TOY |= {"chunk": 2, "window": 4, "sink": 1}
TOY = Sizes(
    small=replace(PRESETS[SMALL], dim=64, heads=2, ffn=96, **_TOY),
    large=replace(PRESETS[LARGE], dim=128, heads=4, ffn=160, **_TOY),
    height=32,
    width=48,
    chunks=2,
    attention=(12, 24, (2, 4)),
    products=((64, 64), (64, 96), (128, 128), (160, 128)),
    rounds=2,
)


@dataclass(frozen=True)
class Bench:
    """A device and the sizes to measure on it; `compile`: compile the blocks, None where a GPU can."""

    device: torch.device
    sizes: Sizes
    compile: bool | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the transformer."""
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32

    def timer(self) -> Timer:
        """Return a timer of the device's work."""
        return DeviceTimer(self.device) if self.device.type == "cuda" else HostTimer(perf_counter)

    def seconds(self, run: Callable[[], object]) -> float:
        """Return the shortest time of a call, after one to warm up."""
        timer, best = self.timer(), float("inf")
        run()
        for _ in range(self.sizes.rounds):
            start = timer.now()
            run()
            best = min(best, timer.between(start, timer.now()))
        return best

    def peak(self, run: Callable[[], object]) -> int | None:
        """Return the most bytes that a call adds on the GPU; None on a CPU."""
        if self.device.type != "cuda":
            run()
            return None
        self.forget_peaks()
        before = torch.cuda.memory_allocated(self.device)
        run()
        return torch.cuda.max_memory_allocated(self.device) - before

    def forget_peaks(self) -> None:
        """Free cached memory, and measure peaks from now on."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def reserved(self) -> int | None:
        """Return the most bytes that PyTorch has reserved on the GPU; None on a CPU."""
        return torch.cuda.max_memory_reserved(self.device) if self.device.type == "cuda" else None

    def random(self, *shape: int) -> Tensor:
        """Return normally distributed values on the device, in float32."""
        return torch.randn(shape, device=self.device)

    def checkpoint(self, preset: Preset) -> Checkpoint:
        """Return a checkpoint of random weights."""
        return replace(random_checkpoint(SMALL), preset=preset)

    def model(self, preset: Preset | None = None) -> WorldModel:
        """Return a model of random weights, the small one by default."""
        return random_model(
            self.checkpoint(preset or self.sizes.small), ModelOptions(device=str(self.device))
        )

    def session(self, model: WorldModel, **how: Any) -> Session:
        """Return a session of the video's size."""
        size = {"height": self.sizes.height, "width": self.sizes.width}
        return Session(model, sample_image(), **size, **how)


def controls(chunks: int, chunk: int) -> list[Control]:
    """Return the controls of a turning walk, the first of which has fewer frames."""
    first, *rest = walk(chunks, chunk)
    return [replace(first, frames=4 * chunk - 3), *rest]


def relative_error(output: Tensor, exact: Tensor) -> float:
    """Return the RMS error divided by the standard deviation of the exact values."""
    return float((output - exact).float().square().mean().sqrt() / exact.float().std())


def denoised(session: Session, walked: Iterable[Control]) -> Tensor:
    """Return the latents of all chunks on the CPU."""
    return torch.cat([session.denoise(control).cpu() for control in walked], dim=1)


def render_serially(session: Session, walked: Iterable[Control]) -> tuple[Tensor, np.ndarray]:
    """Return latents and frames, computed without overlap."""
    latents, frames = [], []
    for control in walked:
        latents.append(session.denoise(control))
        frames.append(session.decode(latents[-1]).cpu().numpy()[: control.frames])
    return torch.cat(latents, dim=1).cpu(), np.concatenate(frames)
