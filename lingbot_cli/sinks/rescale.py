"""Size and frame rate of the encoded video, other than the rendered ones: ffmpeg's scaling and interpolation."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # it needs NumPy, and options need only the names
    from lingbot_cli.sinks.base import VideoInfo

Scaler = Literal["lanczos", "bicubic", "neighbor"]


@dataclass(frozen=True)
class Rescale:
    """Enlargement by `factor` or to `size` (width, height), and interpolation to `fps`; None leaves the video's."""

    factor: int = 1
    size: tuple[int, int] | None = None
    scaler: Scaler = "lanczos"
    fps: Fraction | None = None

    def applied(self, video: "VideoInfo") -> "VideoInfo":
        """Return the encoded video."""
        width, height = self.size or (video.width * self.factor, video.height * self.factor)
        frames = None if video.frames is None else self.encoded_frames(video.frames, video.fps)
        fps = video.fps if self.fps is None else self.fps
        return replace(video, width=width, height=height, fps=fps, frames=frames)

    def encoded_frames(self, frames: int, fps: Fraction) -> int:
        """Return the number of encoded frames of a rendered number at a rate: the same length of time."""
        return frames if self.fps is None else math.ceil(frames * self.fps / fps)

    def filters(self, video: "VideoInfo") -> list[str]:
        """Return the ffmpeg filters, in order."""
        shown, filters = self.applied(video), []
        if self.fps is not None:
            # Interpolation ends before the last frame, which lasts as long as the others.
            filters.append(
                f"tpad=stop_mode=clone:stop=2,format=yuv444p,minterpolate=fps={self.fps}:mi_mode=mci"
            )
        if (shown.width, shown.height) != (video.width, video.height):
            filters.append(f"scale={shown.width}:{shown.height}:flags={self.scaler}")
        return filters


UNSCALED = Rescale()
