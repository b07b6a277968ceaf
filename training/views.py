"""Images and walks of the scene, rendered during training."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.data import FRAMES, LARGE, PORTRAIT, SIZE, light, random_moods
from training.place.palette import MOODS
from training.place.render import BATCH, draw_batch
from training.place.walk import lens, stand_or_strafe, wander
from training.workers import DEVICE

STAND_OR_STRAFE_SHARE = 0.2  # of clips: vertical edges that stay or move slowly
PORTRAIT_CLIPS, LARGE_CLIPS = 0.1, 0.1
SHORT_FRAMES = 13
LARGE_FRAMES = 9  # of a large clip, four times as costly; oneDNN 3.12 crashes in the gradient of 5
WHOLE_CLIP_INTERVAL = 10  # steps
CUT_SHARE = 0.7  # of short clips: half of the frame, but of more walks
_BATCH = {SIZE: BATCH, PORTRAIT: BATCH, LARGE: LARGE_FRAMES}


@dataclass(frozen=True)
class ViewKind:
    """One kind of single images: its share, its size, and whether it is antialiased or a crop."""

    share: float
    size: tuple[int, int] = SIZE
    antialias: bool = True
    crop: bool = False  # of a large image, of `SIZE`


KINDS = {
    "usual": ViewKind(0.62),
    "aliased": ViewKind(0.08, antialias=False),
    "crop": ViewKind(0.1, LARGE, crop=True),
    "portrait": ViewKind(0.1, PORTRAIT),
    "large": ViewKind(0.1, LARGE),
}


class ViewSampler:
    """Random views as uint8 [N, T, H, W, 3]."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        compiled = torch.compile(draw_batch, dynamic=False) if DEVICE.type == "cpu" else draw_batch
        self._draw: Callable[..., Tensor] = compiled
        self._ready: dict[ViewKind, list[Tensor]] = defaultdict(list)

    def images(self, count: int) -> Tensor:
        """Return single images [count, 1, H, W, 3] of one kind; a quarter as many of the large size."""
        kinds = list(KINDS.values())
        kind = kinds[self._rng.choice(len(kinds), p=[kind.share for kind in kinds])]
        if kind.size == LARGE and not kind.crop:
            count = max(1, count // 4)
        ready = self._ready[kind]
        while len(ready) < count:
            ready += self.draw_images(kind)
        return torch.stack([ready.pop() for _ in range(count)])[:, None]

    def draw_images(self, kind: ViewKind) -> list[Tensor]:
        """Render a batch of images [H, W, 3] of a kind."""
        rng, batch = self._rng, _BATCH[kind.size]
        poses = np.concatenate([wander(rng, 1).actual for _ in range(batch)])
        optics = np.stack([lens(rng, *kind.size) for _ in range(batch)])
        moods = torch.eye(len(MOODS))[torch.from_numpy(rng.integers(len(MOODS), size=batch))]
        drawn = self._draw(
            torch.from_numpy(poses).to(DEVICE),
            torch.from_numpy(optics).to(DEVICE),
            moods.to(DEVICE),
            *kind.size,
            antialias=kind.antialias,
        )
        if not kind.crop:
            return list(drawn)
        (height, width), spare = SIZE, [n - m + 1 for n, m in zip(kind.size, SIZE, strict=True)]
        rows, columns = (rng.integers(n, size=batch) for n in spare)
        return [
            image[y : y + height, x : x + width] for image, y, x in zip(drawn, rows, columns, strict=True)
        ]

    def clips(self, step: int) -> Tensor:
        """Render the walks of a step [N, T, H, W, 3]: one in whole length, or some short ones, of one size."""
        rng = self._rng
        if step % WHOLE_CLIP_INTERVAL == 0:
            return self.clip(SIZE, FRAMES)
        size = (SIZE, PORTRAIT, LARGE)[
            rng.choice(3, p=[1 - PORTRAIT_CLIPS - LARGE_CLIPS, PORTRAIT_CLIPS, LARGE_CLIPS])
        ]
        cut = rng.random() < CUT_SHARE
        frames, count = (LARGE_FRAMES, 1) if size == LARGE else (SHORT_FRAMES, 3 if cut else 2)
        found = []
        for _ in range(count):
            clip = self.clip(size, frames)
            if cut:
                axis, half = (2 if size == PORTRAIT else 3), max(size) // 2
                clip = clip.narrow(axis, int(rng.integers(half + 1)), half)
            found.append(clip)
        return torch.cat(found)

    def clip(self, size: tuple[int, int], frames: int) -> Tensor:
        """Render a walk [1, frames, H, W, 3]."""
        rng, batch = self._rng, _BATCH[size]
        drawn = -(-frames // batch) * batch
        walk = stand_or_strafe if rng.random() < STAND_OR_STRAFE_SHARE else wander
        poses = torch.from_numpy(walk(rng, drawn).actual).to(DEVICE)
        optics = torch.from_numpy(lens(rng, *size)).to(DEVICE).expand(batch, -1)
        shown = light(random_moods(rng)).to(DEVICE)
        parts = [
            self._draw(poses[i : i + batch], optics, shown[i : i + batch], *size)
            for i in range(0, drawn, batch)
        ]
        return torch.cat(parts)[None, :frames]
