"""A sink that keeps nothing: for benchmarks and for trying a timeline."""

import numpy as np

from lingbot_cli.sinks.base import VideoInfo


class NullSink:
    """Counts frames and forgets them."""

    name = "null:"

    def __init__(self) -> None:
        self.frames = 0

    def resumable_frames(self, film: VideoInfo, limit: int) -> dict[str, int]:  # noqa: ARG002
        return {}

    def preflight(self, film: VideoInfo) -> None:  # noqa: ARG002
        return None

    def open(self, film: VideoInfo) -> None:  # noqa: ARG002
        self.frames = 0

    def write(self, frames: np.ndarray) -> None:
        self.frames += len(frames)

    def check(self) -> None:
        return None

    def close(self) -> None:
        return None

    def abort(self) -> str | None:
        return None
