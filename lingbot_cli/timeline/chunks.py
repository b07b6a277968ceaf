"""Frame grid and chunks: times in video frames, and a video split into the chunks of the model (model §1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from lingbot_cli.timeline.times import Time, exact_fps


@dataclass(frozen=True)
class FrameGrid:
    """Video frames a second (`fps`) and latent frames a chunk (`chunk`)."""

    fps: float = 16
    chunk: int = 4

    @property
    def rate(self) -> Fraction | int:
        """Video frames a second, exactly."""
        return self.fps if isinstance(self.fps, int) else exact_fps(self.fps)

    def chunk_boundary(self, chunks: int) -> int:
        """Return the frame at which the first `chunks` chunks end; the first latent is one frame."""
        return max(0, 4 * self.chunk * chunks - 3)

    def to_frames(self, time: Time) -> Fraction:
        """Convert a time since the start of the video to frames."""
        if time.unit == "c":
            return Fraction(self.chunk_boundary(int(time.amount)))
        return time.amount * (self.rate if time.unit == "s" else 1)

    def span_end(self, start: Fraction, span: Time) -> Fraction:
        """Return the end of a span from `start`, both in frames; k chunks end k boundaries later."""
        if span.unit != "c":
            return start + self.to_frames(span)
        begun = int((start + 3) // (4 * self.chunk))
        return start + self.chunk_boundary(begun + int(span.amount)) - self.chunk_boundary(begun)

    def seconds(self, frame: int) -> float:
        """Convert a frame to seconds since the start of the video."""
        return frame / self.fps


def nearest_frame(frames: Fraction) -> int:
    """Round to the nearest frame, halves up, so that neighbours never overlap."""
    top, bottom = frames.numerator, frames.denominator
    return (2 * top + bottom) // (2 * bottom)


@dataclass(frozen=True)
class FrameChunk:
    """`frames` video frames from `start`, in the scene that begins at frame `scene_start`.

    `cut` is the number of the cut that begins with the chunk, or None.
    """

    start: int
    frames: int
    scene_start: int
    latent_frames: tuple[int, ...]  # the video frame of each latent frame's pose
    cut: int | None = None

    @property
    def end(self) -> int:
        """The frame after its last."""
        return self.start + self.frames


def next_chunk(start: int, scene_start: int, size: int, cut: int | None = None) -> FrameChunk:
    """Return the whole chunk of `size` latent frames that begins at frame `start` of a scene."""
    first = 0 if start == scene_start else (start - scene_start + 3) // 4
    latents = tuple(scene_start + 4 * i for i in range(first, first + size))
    return FrameChunk(start, latents[-1] + 1 - start, scene_start, latents, cut)


def split_into_chunks(frames: int, size: int, cuts: Sequence[int] = ()) -> list[FrameChunk]:
    """Split a video of `frames` frames; each cut takes effect at the first boundary not before it.

    Of several cuts before one boundary the last wins. The last chunk is whole: its surplus is cut off on output.
    """
    chunks: list[FrameChunk] = []
    start = scene_start = done = 0
    while start < frames:
        due = [i for i in range(done, len(cuts)) if cuts[i] <= start]
        if due:
            scene_start, done = start, due[-1] + 1
        chunks.append(next_chunk(start, scene_start, size, due[-1] if due else None))
        start = chunks[-1].end
    return chunks
