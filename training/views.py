"""Images and walks of the scene, rendered during training."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from training.data import FRAMES, light
from training.place.palette import MOODS
from training.place.render import BATCH, draw_batch
from training.place.walk import lens, stand_or_strafe, wander
from training.workers import DEVICE

SIZE = (64, 112)
STAND_OR_STRAFE_SHARE = 0.2  # of clips: vertical edges that stay or move slowly


class ViewSampler:
    """Random views as uint8 [N, T, H, W, 3]."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        compiled = torch.compile(draw_batch, dynamic=False) if DEVICE.type == "cpu" else draw_batch
        self._draw: Callable[..., Tensor] = compiled
        self._ready: dict[tuple[int, bool], list[Tensor]] = defaultdict(list)

    def images(self, count: int) -> Tensor:
        """Return single images [count, 1, 64, 112, 3]: antialiased or not, or crops of images of twice the size."""
        kind = self._rng.choice(3, p=[0.4, 0.45, 0.15])
        scale, antialias = (2, True) if kind == 2 else (1, kind == 0)
        ready = self._ready[scale, antialias]
        while len(ready) < count:
            ready += self.draw_images(scale, antialias=antialias)
        return torch.stack([ready.pop() for _ in range(count)])[:, None]

    def draw_images(self, scale: int, *, antialias: bool) -> list[Tensor]:
        """Render a batch of images [64, 112, 3], or of crops of that size from larger ones."""
        rng, (height, width) = self._rng, SIZE
        poses = np.concatenate([wander(rng, 1).actual for _ in range(BATCH)])
        optics = np.stack([lens(rng) for _ in range(BATCH)])
        moods = torch.eye(len(MOODS))[torch.from_numpy(rng.integers(len(MOODS), size=BATCH))]
        drawn = self._draw(
            torch.from_numpy(poses).to(DEVICE),
            torch.from_numpy(optics).to(DEVICE),
            moods.to(DEVICE),
            scale * height,
            scale * width,
            antialias=antialias,
        )
        rows, columns = (rng.integers((scale - 1) * n + 1, size=BATCH) for n in SIZE)
        return [
            image[y : y + height, x : x + width] for image, y, x in zip(drawn, rows, columns, strict=True)
        ]

    def clip(self) -> Tensor:
        """Render a walk [1, 57, 64, 112, 3]; in half of them the first frame is not antialiased."""
        rng = self._rng
        walk = stand_or_strafe if rng.random() < STAND_OR_STRAFE_SHARE else wander
        poses = torch.from_numpy(walk(rng, FRAMES).actual).to(DEVICE)
        optics = torch.from_numpy(lens(rng)).to(DEVICE).expand(BATCH, -1)
        moods = np.full(5, rng.integers(len(MOODS)))
        if rng.random() < 0.35:
            moods[rng.integers(1, 5) :] = rng.integers(len(MOODS))
        shown = light(moods).to(DEVICE)
        draw = partial(self._draw, height=SIZE[0], width=SIZE[1])
        parts = [draw(poses[i : i + BATCH], optics, shown[i : i + BATCH]) for i in range(0, FRAMES, BATCH)]
        video = torch.cat(parts)
        if rng.random() < 0.5:
            first = slice(0, BATCH)
            video[0] = draw(poses[first], optics, shown[first], antialias=False)[0]
        return video[None]
