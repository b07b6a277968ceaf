"""What a sink is: where a film's frames go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Chapter:
    """A named place in the film, from video frame `start` to the next chapter or the end."""

    start: int
    title: str


@dataclass(frozen=True)
class VideoInfo:
    """What a sink is told before the first frame.

    `fps`: frames a second. `frames`: how many there will be, None while a live run goes on.
    `metadata`: what the file says about itself, where its format can. `kept`: how many first frames do not
    come, for every sink has them. `variant` tells films of the same world apart that show other frames of it.
    """

    height: int
    width: int
    fps: Fraction
    frames: int | None = None
    chapters: tuple[Chapter, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    kept: int = 0
    variant: str = ""


class Sink(Protocol):
    """Takes one film's frames; opened once, then closed or aborted once. Failures are OutputErrors."""

    name: str

    def resumable_frames(self, film: VideoInfo, limit: int) -> dict[str, int]:
        """How many of the film's first `limit` frames are there from an earlier run, by the name of each output.

        Asked before `open` by who goes on with a film; who does not ask begins anew.
        """

    def preflight(self, film: VideoInfo) -> None:
        """Raise what keeps the film from being begun, as `open` would; nothing is written."""

    def open(self, film: VideoInfo) -> None:
        """Make ready to take frames, before anything expensive begins."""

    def write(self, frames: np.ndarray) -> None:
        """Take frames, uint8 RGB [T, H, W, 3], blocking while the output is behind."""

    def check(self) -> None:
        """Raise when the output has failed since the last write."""

    def close(self) -> None:
        """Finish the film: only now does its final name exist."""

    def abort(self) -> str | None:
        """End early and never raise; return what is kept of the film, None when nothing is."""


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


class TeeSink:
    """Hands every frame to each of `sinks`; the first failure is the failure of all."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = tuple(sinks)
        self.name = ", ".join(sink.name for sink in self.sinks if sink.name)

    def resumable_frames(self, film: VideoInfo, limit: int) -> dict[str, int]:
        return {
            name: frames for sink in self.sinks for name, frames in sink.resumable_frames(film, limit).items()
        }

    def preflight(self, film: VideoInfo) -> None:
        for sink in self.sinks:
            sink.preflight(film)

    def open(self, film: VideoInfo) -> None:
        opened: list[Sink] = []
        try:
            for sink in self.sinks:
                sink.open(film)
                opened.append(sink)
        except Exception:
            for sink in opened:
                sink.abort()
            raise

    def write(self, frames: np.ndarray) -> None:
        for sink in self.sinks:
            sink.write(frames)

    def check(self) -> None:
        for sink in self.sinks:
            sink.check()

    def close(self) -> None:
        """Finish all that can be finished, then report the first that could not."""
        failures: list[Exception] = []
        for sink in self.sinks:
            try:
                sink.close()
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def abort(self) -> str | None:
        kept = [what for sink in self.sinks if (what := sink.abort())]
        return ", ".join(kept) or None


def output_names(sink: Sink) -> list[str]:
    """The names of all the outputs behind a sink, one each."""
    if isinstance(sink, TeeSink):
        return [name for each in sink.sinks for name in output_names(each)]
    return [sink.name] if sink.name else []
