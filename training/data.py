"""Walks of the scene as training clips.

A clip has 57 video frames, 15 latent frames and five chunks. In every third clip the mood changes at the start of
a chunk, and the light follows within half a second.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.place.palette import MOODS
from training.place.render import draw_batch, render
from training.place.walk import lens, wander
from training.workers import DEVICE

FRAMES, LATENTS, CHUNK = 57, 15, 3
FADE = 8  # duration of a change of light in video frames
SIZE, PORTRAIT, LARGE = (64, 112), (112, 64), (128, 224)  # trained heights and widths
_MOOD_CHANGES = 0.35  # share of clips


@dataclass(frozen=True)
class Clip:
    """A walk's frames, on the training device, and its labels.

    `video` [57, H, W, 3] uint8, `requested` and `actual` [57, 4, 4] poses, `optics` [4] intrinsics for 832×480,
    `moods` [5], one per chunk.
    """

    video: Tensor
    requested: np.ndarray
    actual: np.ndarray
    optics: np.ndarray
    moods: np.ndarray


class ClipRenderer:
    """Renders clips, by default with a compiled ray-caster, which is twenty times as fast."""

    def __init__(self, draw: Callable[..., Tensor] | None = None) -> None:
        self._draw: Callable[..., Tensor] = draw or torch.compile(draw_batch, dynamic=False)

    def random(self, rng: np.random.Generator, size: tuple[int, int]) -> Clip:
        """Render a random clip of a size."""
        walk, optics, moods = wander(rng, FRAMES), lens(rng, *size), random_moods(rng)
        video = self.frames(walk.actual, optics, moods, size)
        return Clip(video, walk.requested, walk.actual, optics, moods)

    def frames(
        self, actual: np.ndarray, optics: np.ndarray, moods: np.ndarray, size: tuple[int, int]
    ) -> Tensor:
        """Render the frames uint8 [57, H, W, 3] of a clip's labels."""
        poses = torch.from_numpy(actual).to(DEVICE)
        lenses = torch.from_numpy(optics).to(DEVICE).expand(len(actual), -1)
        height, width = size
        return render(poses, lenses, light(moods).to(DEVICE), height=height, width=width, draw=self._draw)


def random_moods(rng: np.random.Generator) -> np.ndarray:
    """Return the moods of a clip's chunks [5]: one, or in every third clip two."""
    moods = np.full(LATENTS // CHUNK, rng.integers(len(MOODS)))
    if rng.random() < _MOOD_CHANGES:
        moods[rng.integers(1, len(moods)) :] = rng.integers(len(MOODS))
    return moods


def chunk_start(chunk: int) -> int:
    """Return the first video frame of a chunk."""
    return 0 if chunk == 0 else 4 * CHUNK * chunk - 3


def light(moods: np.ndarray) -> Tensor:
    """Return the share of each mood in every video frame [F, 4], from the mood of each chunk [chunks]."""
    frames = chunk_start(len(moods))
    weights = torch.eye(len(MOODS))[int(moods[0])].repeat(frames, 1)
    for chunk in range(1, len(moods)):
        if moods[chunk] != moods[chunk - 1]:
            start = chunk_start(chunk)
            share = ((torch.arange(frames - start) + 1) / FADE).clamp(max=1)[:, None]
            weights[start:] = (1 - share) * weights[start - 1] + share * torch.eye(len(MOODS))[
                int(moods[chunk])
            ]
    return weights
