"""Begins each chunk of a live stream as late as its pace allows, so that it hears the newest events."""

import collections
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from lingbot_cli.control import Control

_TIMED_CHUNKS = 8  # chunks: the slowest of them says how long the next will take
_HISTORY_CHUNKS = 256  # chunks whose moments are known
POLL_INTERVAL_S = 0.05  # seconds between two looks at what waits


class ChunkTimings:
    """When each chunk was begun and when its frames were there, by different threads, in moments of one clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: dict[int, float] = {}
        self._came: dict[int, float] = {}
        self._first = self._next = 0
        self._took: collections.deque[float] = collections.deque(maxlen=_TIMED_CHUNKS)

    def begin(self, now: float) -> None:
        """The next chunk has been told what to show."""
        with self._lock:
            self._begun[self._first] = now
            self._begun.pop(self._first - _HISTORY_CHUNKS, None)
            self._first += 1

    def come(self, now: float) -> None:
        """The frames of the next chunk are there."""
        with self._lock:
            chunk = self._next
            self._came[chunk] = now
            self._came.pop(chunk - _HISTORY_CHUNKS, None)
            if chunk and chunk in self._begun:  # the first one warms the machine up
                self._took.append(now - self._begun[chunk])
            self._next += 1

    def of(self, chunk: int, otherwise: float) -> tuple[float, float]:
        """When a chunk was begun and when it was there; `otherwise` where that is not known."""
        with self._lock:
            return self._begun.get(chunk, otherwise), self._came.get(chunk, otherwise)

    @property
    def making(self) -> float:
        """Seconds that a chunk may take from being told until it is there."""
        with self._lock:
            return max(self._took, default=0.0)


def just_in_time(
    controls: Iterable[Control],
    timings: ChunkTimings,
    *,
    waiting: Callable[[int], float],
    over: Callable[[], bool],
    lead: float,
    clock: Callable[[], float],
) -> Iterator[Control]:
    """Take each Control when what was told before lasts only for its making and `lead` seconds more.

    `waiting(frames)` is how many seconds the first so many frames of the film still last; nothing is taken once
    it is `over`.
    """
    told, source = 0, iter(controls)
    while True:
        while not over() and (early := waiting(told) - timings.making - lead) > 0:
            time.sleep(min(early, POLL_INTERVAL_S))
        control = None if over() else next(source, None)
        if control is None:
            return
        timings.begin(clock())
        told += control.frames
        yield control
