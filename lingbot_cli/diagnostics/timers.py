"""Seconds by phase, chunk by chunk: on a GPU by its own events, else by the clock."""

import contextlib
from collections.abc import Callable, Iterator
from statistics import mean
from typing import Any, Protocol


class Timer(Protocol):
    """Takes moments and tells the seconds between two of them."""

    def now(self) -> Any:
        """This moment, in the order of the work that was asked for."""

    def between(self, start: Any, end: Any) -> float:
        """Seconds from one moment to another; waits for the work between them."""


class HostTimer:
    """Moments of a clock, for work that is done when its call returns."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.now = clock

    def between(self, start: float, end: float) -> float:
        return end - start


class DeviceTimer:
    """Events in a GPU's queue: they time the work itself, not the asking for it."""

    def now(self) -> Any:
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, start: Any, end: Any) -> float:
        end.synchronize()
        return start.elapsed_time(end) / 1000


class PhaseTimer:
    """Adds up the seconds of named phases, chunk by chunk."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._open: list[tuple[str, Any, Any]] = []
        self.chunks: list[dict[str, float]] = []
        self._chunk_seconds: list[float] = []

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block."""
        start = self._timer.now()
        yield
        self._open.append((name, start, self._timer.now()))

    def end_chunk(self) -> None:
        """End a chunk: only here is the device waited for."""
        lap: dict[str, float] = {}
        for name, start, end in self._open:
            lap[name] = lap.get(name, 0.0) + self._timer.between(start, end)
        self.chunks.append(lap)
        self._chunk_seconds.append(
            self._timer.between(self._open[0][1], self._open[-1][2]) if self._open else 0.0
        )
        self._open.clear()

    def means(self, names: tuple[str, ...], skip: int) -> dict[str, float]:
        """The mean seconds of each named phase over all laps but the first `skip`."""
        laps = self.chunks[skip:]
        return {name: mean(lap.get(name, 0.0) for lap in laps) for name in names}

    def mean_chunk(self, skip: int) -> float:
        """The mean seconds of a lap from its first phase to its last, what lies between them included."""
        return mean(self._chunk_seconds[skip:])
