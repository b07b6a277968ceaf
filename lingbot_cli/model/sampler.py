"""Few-step sampler and its flow-match scheduler: sigmas, clean estimate, renoising and seeded noise (model §8)."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

TRAIN_STEPS = 1000
FLOAT64_DEVICES = ("cpu", "cuda", "meta")
"""Devices that all compute in float64: Apple's GPUs and most of Intel's do not."""

# (chunk, step, shape) → standard normal noise of that shape, float32, on the CPU.
NoiseSource = Callable[[int, int, tuple[int, ...]], Tensor]


@dataclass(frozen=True)
class SigmaSchedule:
    """Timesteps of the denoising forwards, sigmas of their clean estimates, and sigmas of the renoisings between."""

    timesteps: tuple[int, ...]
    sigmas: tuple[float, ...]
    renoise_sigmas: tuple[float, ...]

    def predict_clean(self, noisy: Tensor, flow: Tensor, step: int) -> Tensor:
        """Estimate x0 = x − σ·flow, in float64 where the device has it."""
        wide = torch.float64 if noisy.device.type in FLOAT64_DEVICES else torch.float32
        return (noisy.to(wide) - self.sigmas[step] * flow.to(wide)).float()

    def renoise(self, clean: Tensor, noise: Tensor, step: int) -> Tensor:
        """Return the input of the step after `step`: (1−σ)·x0 + σ·ε."""
        sigma = self.renoise_sigmas[step]
        return (1.0 - sigma) * clean + sigma * noise


def sigma_schedule(steps: tuple[int, ...], shift: float) -> SigmaSchedule:
    """Return the published flow-shifted schedule at indices `steps` of 1001 points.

    Timesteps are integers and repeat: a clean estimate takes the sigma of the first index with its
    timestep, a renoising that of the second if there are several.
    """
    grid = np.linspace(0.999, 0.0, TRAIN_STEPS + 1)
    sigmas = shift * grid / (1.0 + (shift - 1.0) * grid)
    timesteps = (TRAIN_STEPS * sigmas).astype(int)
    chosen = [timesteps[index] for index in steps]
    same = [np.flatnonzero(timesteps == t) for t in chosen]
    return SigmaSchedule(
        timesteps=tuple(int(t) for t in chosen),
        sigmas=tuple(float(sigmas[indices[0]]) for indices in same),
        renoise_sigmas=tuple(float(sigmas[indices[:2][-1]]) for indices in same[1:]),
    )


def seeded_noise(seed: int) -> NoiseSource:
    """Return noise that depends only on (seed, chunk, step), not on the video's length or the device."""

    def draw(chunk: int, step: int, shape: tuple[int, ...]) -> Tensor:
        digest = hashlib.sha256(f"{seed}/{chunk}/{step}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
        return torch.randn(shape, generator=generator)

    return draw


class ChunkNoise:
    """Noise of one session's chunks; that of the next one may be drawn on the host while a GPU computes.

    `shape`: channels, height and width of the latents.
    """

    def __init__(self, source: NoiseSource, shape: tuple[int, int, int], *, ahead: bool) -> None:
        self._source = source
        self._shape = shape
        self._ahead = ahead
        self._drawn: dict[tuple[int, int, int], Tensor] = {}

    def draw(self, chunk: int, step: int, frames: int) -> Tensor:
        """Return the noise [16, frames, h, w] of a step."""
        if (drawn := self._drawn.pop((chunk, step, frames), None)) is not None:
            return drawn
        return self._source(chunk, step, (self._shape[0], frames, *self._shape[1:]))

    def draw_ahead(self, chunk: int, steps: int, frames: int) -> None:
        """Draw the noise of every step of a chunk, where it is drawn ahead."""
        if self._ahead:
            self._drawn = {(chunk, step, frames): self.draw(chunk, step, frames) for step in range(steps)}
