"""A sink that keeps nothing: for benchmarks and for trying a timeline."""

import numpy as np

from lingbot_cli.sinks.base import FilmInfo


class NullSink:
    """Counts frames and forgets them."""

    name = "null:"

    def __init__(self) -> None:
        self.frames = 0

    def keeps(self, film: FilmInfo, limit: int) -> dict[str, int]:  # noqa: ARG002
        return {}

    def ready(self, film: FilmInfo) -> None:  # noqa: ARG002
        return None

    def open(self, film: FilmInfo) -> None:  # noqa: ARG002
        self.frames = 0

    def write(self, frames: np.ndarray) -> None:
        self.frames += len(frames)

    def check(self) -> None:
        return None

    def close(self) -> None:
        return None

    def abort(self) -> str | None:
        return None
