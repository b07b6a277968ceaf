"""Follows each live event from the line it came on to the first frame it changed."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from lingbot_cli.broadcast.just_in_time import ChunkTimings
from lingbot_cli.timeline.live import Effect, LiveTimeline


@dataclass(frozen=True)
class EventLatency:
    """The event of input line `line` acted in `chunk` from film frame `frame`, sent `latency` s after the line.

    Those are the seconds until its chunk was begun, until that was made, and until the frame's turn came.
    """

    line: int
    chunk: int
    frame: int
    boundary: float
    making: float
    buffered: float

    @property
    def latency(self) -> float:
        """Seconds from the line to the frame."""
        return self.boundary + self.making + self.buffered


class LatencyTracker:
    """Told of lines by their reader and of frames by who sends them; asked by whoever shows it."""

    def __init__(self, live: LiveTimeline, clock: Callable[[], float]) -> None:
        self.timings = ChunkTimings()
        self._live = live
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[int, tuple[int, float]] = {}
        self._waiting: list[Effect] = []
        self._done: list[EventLatency] = []

    def said(self, number: int, line: int, when: float) -> None:
        """The event `number` came on a line, at a moment of the clock."""
        with self._lock:
            self._said[number] = line, when

    def showing(self, frame: int, now: float) -> None:
        """A frame of the film leaves now."""
        with self._lock:
            self._waiting += self._live.take_effects()
            acted = [
                effect for effect in self._waiting if effect.frame <= frame and effect.number in self._said
            ]
            for effect in acted:
                line, when = self._said.pop(effect.number)
                begun, came = self.timings.of(effect.chunk, now)
                self._done.append(
                    EventLatency(line, effect.chunk, effect.frame, begun - when, came - begun, now - came)
                )
                self._waiting.remove(effect)

    def take(self) -> list[EventLatency]:
        """What has acted since this was asked last."""
        with self._lock:
            done, self._done = self._done, []
        return done
