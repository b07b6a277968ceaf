"""Holds a stream's frame rate whatever the world does: frames come in chunks and leave one by one, in time."""

import collections
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from lingbot_cli.sinks.base import VideoInfo

Pace = Literal["hold", "smooth", "drop"]
POLL_INTERVAL_S = 0.2  # seconds between looks at what happens elsewhere
MAX_DELAY_S = 10.0  # seconds behind at which time is given up for lost (a machine that slept)
CATCH_UP_FACTOR = (
    4  # times the rate at which what is overdue leaves: encoders and backlogs bear it for _LATE seconds
)
RATE_WINDOW_S = 10.0  # seconds over which a rate is measured


class FrameOutput(Protocol):
    """Where paced frames go; it never waits."""

    def put(self, frame: np.ndarray) -> None:
        """Take one frame, uint8 [H, W, 3]."""

    def check(self) -> None:
        """Raise when the output has failed for good."""


@dataclass(frozen=True)
class PacerStats:
    """The figures of a paced stream: frames made, shown in time, repeated and dropped; seconds that wait."""

    made: int = 0
    shown: int = 0
    repeats: int = 0
    drops: int = 0
    buffer: float = 0.0


class SmoothRate:
    """How fast `smooth` goes through what was made: the world's own rate, a little faster when much waits."""

    def __init__(self, fps: float, lead: float) -> None:
        self._fps = fps
        self._target = max(1.0, lead * fps)
        self._rate = fps
        self._came: float | None = None
        self._due = 1.0

    def chunk(self, frames: int, now: float) -> None:
        """A chunk of so many frames has come."""
        if self._came is not None:
            measured = min(self._fps, frames / max(now - self._came, 1e-6))
            self._rate = (self._rate + measured) / 2
        self._came = now

    def step(self, waiting: int) -> bool:
        """Whether the next frame is due at this tick, with so many waiting."""
        self._due += self._rate / self._fps * min(2.0, max(0.8, waiting / self._target))
        if self._due < 1:
            return False
        self._due = min(self._due - 1, 1.0)
        return True


class Pacer:
    """A sink that hands `outputs` one frame every 1/fps s, beginning with `still` until the film comes.

    The moments stand on a schedule of their own: what a stall has held up leaves after it, so that no frame of
    any minute is missing.

    `lead` seconds of film are gathered before it begins. hold repeats the last frame when none is there,
    smooth spreads what there is, drop never lets the world wait and leaves out what is too much.
    Once `leaving` says so nothing waits any more. `coming(now)` is told of each chunk that is written,
    `showing(frame, now)` of each film frame when it leaves; `tick` is called now and then by the thread that
    writes.
    """

    name = "the stream"

    def __init__(
        self,
        outputs: Sequence[FrameOutput],
        fps: float,
        still: np.ndarray,
        *,
        pace: Pace = "hold",
        lead: float = 1.0,
        clock: Callable[[], float],
        leaving: Callable[[], bool] = lambda: False,
        coming: Callable[[float], None] | None = None,
        showing: Callable[[int, float], None] | None = None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._outputs = outputs
        self._fps = fps
        self._pace = pace
        self._lead = max(1, round(lead * fps))
        self._clock = clock
        self._leaving = leaving
        self._coming = coming
        self._showing = showing
        self._tick = tick
        self._last = still
        self._waiting: collections.deque[tuple[int, np.ndarray]] = collections.deque()
        self._cadence = SmoothRate(fps, lead)
        self._flow = PacerStats()
        self._left = 0  # frames of the film
        self._begun = self._ended = self._stopped = False
        self._times: collections.deque[float] = collections.deque(maxlen=max(2, round(RATE_WINDOW_S * fps)))
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="pacer", daemon=True)

    def resumable_frames(self, film: VideoInfo, limit: int) -> dict[str, int]:  # noqa: ARG002
        return {}

    def preflight(self, film: VideoInfo) -> None:  # noqa: ARG002
        return None

    def open(self, film: VideoInfo) -> None:  # noqa: ARG002 - a stream's size is its outputs' affair
        self._thread.start()

    def write(self, frames: np.ndarray) -> None:
        """Take a chunk [T, H, W, 3]; except with drop, wait until there is less than `lead` before it."""
        if self._coming is not None:
            self._coming(self._clock())
        while self._pace != "drop":
            with self._change:
                if len(self._waiting) <= self._lead or self._stopped or self._leaving():
                    break
                self._change.wait(POLL_INTERVAL_S)
            self.check()
        with self._change:
            first = self._flow.made
            self._waiting.extend((first + index, frame) for index, frame in enumerate(frames))
            self._cadence.chunk(len(frames), self._clock())
            dropped = self._thin(self._lead + len(frames)) if self._pace == "drop" else 0
            self._flow = replace(self._flow, made=first + len(frames), drops=self._flow.drops + dropped)

    def check(self) -> None:
        for output in self._outputs:
            output.check()
        self._tick()

    def close(self) -> None:
        """Let everything that waits leave in time, unless the show is being left."""
        with self._change:
            self._ended = True
        while self._thread.is_alive() and not self._leaving():
            self._thread.join(POLL_INTERVAL_S)
            self.check()

    def abort(self) -> None:
        """Stop at once."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
        if self._thread.is_alive():
            self._thread.join(2)

    def waiting(self, frames: int) -> float:
        """Seconds that the first so many frames of the film still last."""
        return (frames - self._left) / self._fps

    @property
    def over(self) -> bool:
        """Whether nothing leaves any more."""
        return self._stopped

    @property
    def flow(self) -> PacerStats:
        with self._change:
            return replace(self._flow, buffer=len(self._waiting) / self._fps)

    @property
    def rate(self) -> float:
        """Frames a second that left, over the last 10 s."""
        times = list(self._times)
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0

    def _thin(self, most: int) -> int:
        """Leave out frames, evenly, until no more than `most` wait; how many."""
        surplus = len(self._waiting) - most
        if surplus <= 0:
            return 0
        kept = np.linspace(0, len(self._waiting) - 1, most).round().astype(int)
        self._waiting = collections.deque(self._waiting[index] for index in kept)
        return surplus

    def _run(self) -> None:
        start, count, soonest = self._clock(), 0, 0.0
        while True:
            with self._change:
                while (early := max(start + count / self._fps, soonest) - self._clock()) > 0:
                    if self._stopped:
                        return
                    self._change.wait(early)
                if self._stopped or (self._ended and not self._waiting):
                    return
                now = self._clock()
                if now - (start + count / self._fps) > MAX_DELAY_S:
                    start, count = now, 0
                soonest = now + 1 / (self._fps * CATCH_UP_FACTOR)
                self._next()
                self._change.notify_all()
            count += 1
            for output in self._outputs:
                output.put(self._last)
            self._times.append(self._clock())

    def _next(self) -> None:
        """Choose the frame of this tick: the next that waits, or the last once more."""
        self._begun = self._begun or self._ended or len(self._waiting) >= self._lead
        due = self._begun and (self._pace != "smooth" or self._cadence.step(len(self._waiting)))
        if due and self._waiting:
            frame, self._last = self._waiting.popleft()
            self._flow = replace(self._flow, shown=self._flow.shown + 1)
            self._left = frame + 1
            if self._showing is not None:
                self._showing(frame, self._clock())
        else:
            self._flow = replace(self._flow, shown=self._flow.shown + 1, repeats=self._flow.repeats + 1)
