"""Rendering of the training clips to disk: `python -m training.data --folder F`.

A clip has 57 video frames, 15 latent frames and five chunks. In every third clip the mood changes at the start of
a chunk, and the light follows within half a second.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training.place.palette import MOODS
from training.place.render import draw_batch, render
from training.place.walk import lens, wander

FRAMES, LATENTS, CHUNK = 57, 15, 3
FADE = 8  # duration of a change of light in video frames


@dataclass(frozen=True)
class Clips:
    """`video` [N, 57, 64, 112, 3] uint8, memory-mapped, and its labels.

    `requested` and `actual` [N, 15, 4, 4] poses per latent frame, `focal` [N], `moods` [N, 5] per chunk.
    """

    video: np.ndarray
    requested: np.ndarray
    actual: np.ndarray
    focal: np.ndarray
    moods: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> "Clips":
        """Open the clips in `folder`."""
        labels = np.load(folder / "told.npz")
        video = np.load(folder / "video.npy", mmap_mode="r")
        return cls(video, labels["asked"], labels["stood"], labels["focal"], labels["moods"])


def chunk_start(chunk: int) -> int:
    """Return the first video frame of a chunk."""
    return 0 if chunk == 0 else 4 * CHUNK * chunk - 3


def light(moods: np.ndarray) -> torch.Tensor:
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


def draw(folder: Path, clips: int, seed: int) -> None:
    """Render `clips` clips into `folder`: video.npy and the labels told.npz."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    video = np.lib.format.open_memmap(
        folder / "video.part.npy", mode="w+", dtype=np.uint8, shape=(clips, FRAMES, 64, 112, 3)
    )
    fast = torch.compile(draw_batch, dynamic=False)
    labels: dict[str, list[np.ndarray]] = {"asked": [], "stood": [], "focal": [], "moods": []}
    for i in range(clips):
        walk, optics = wander(rng, FRAMES), lens(rng)
        moods = np.full(LATENTS // CHUNK, rng.integers(len(MOODS)))
        if rng.random() < 0.35:
            moods[rng.integers(1, len(moods)) :] = rng.integers(len(MOODS))
        where = torch.from_numpy(walk.actual)
        optics_all = torch.from_numpy(optics).expand(FRAMES, -1)
        video[i] = render(where, optics_all, light(moods), draw=fast).numpy()
        for name, value in (
            ("asked", walk.requested[::4]),
            ("stood", walk.actual[::4]),
            ("focal", optics[0]),
            ("moods", moods),
        ):
            labels[name].append(value)
    video.flush()
    stacked = {name: np.stack(values) for name, values in labels.items()}
    np.savez(folder / "told.npz", **stacked)  # type: ignore[arg-type]  # no array is named allow_pickle
    (folder / "video.part.npy").rename(folder / "video.npy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    draw(options.folder, options.clips, options.seed)


if __name__ == "__main__":
    main()
