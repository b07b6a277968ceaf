"""A film cut into the chunks a world makes: the arithmetic of model §1."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FrameChunk:
    """`frames` video frames from `start`; the scene it belongs to began at frame `scene`.

    `cut` is the number of the cut that begins with it, or None.
    """

    start: int
    frames: int
    scene_start: int
    latent_frames: tuple[int, ...]  # the video frame whose pose each latent frame has
    cut: int | None = None

    @property
    def end(self) -> int:
        """The frame after its last."""
        return self.start + self.frames


def next_chunk(start: int, scene: int, size: int, cut: int | None = None) -> FrameChunk:
    """The whole chunk of `size` latent frames that begins at frame `start` of the scene begun at `scene`."""
    first = 0 if start == scene else (start - scene + 3) // 4
    latents = tuple(scene + 4 * i for i in range(first, first + size))
    return FrameChunk(start, latents[-1] + 1 - start, scene, latents, cut)


def split_into_chunks(frames: int, size: int, cuts: Sequence[int] = ()) -> list[FrameChunk]:
    """The chunks of a film of `frames` frames; each cut takes effect at the first boundary not before it.

    Of several cuts that wait for one boundary the last given wins. The last chunk is whole: what is more
    than the film is cut off by whoever shows it.
    """
    made: list[FrameChunk] = []
    at = scene = done = 0
    while at < frames:
        due = [i for i in range(done, len(cuts)) if cuts[i] <= at]
        if due:
            scene, done = at, due[-1] + 1
        made.append(next_chunk(at, scene, size, due[-1] if due else None))
        at = made[-1].end
    return made
