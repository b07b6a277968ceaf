"""What a sink is: where a film's frames go."""

from collections.abc import Mapping
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
