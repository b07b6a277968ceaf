"""Latency of live events, from an input line to the first frame that shows the event."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from lingbot_cli.broadcast.just_in_time import ChunkTimings
from lingbot_cli.timeline.live import Effect, LiveTimeline


@dataclass(frozen=True)
class EventLatency:
    """The event of input line `line` took effect in `chunk`, from video frame `frame`.

    `boundary`: seconds until its chunk was started; `making`: until that was rendered; `buffered`: until the frame
    was sent.
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
    """Matches received events with sent frames; thread-safe."""

    def __init__(self, live: LiveTimeline, clock: Callable[[], float]) -> None:
        self.timings = ChunkTimings()
        self._live = live
        self._clock = clock
        self._lock = threading.Lock()
        self._received: dict[int, tuple[int, float]] = {}
        self._waiting: list[Effect] = []
        self._done: list[EventLatency] = []

    def received(self, number: int, line: int, when: float) -> None:
        """Record the line and the time of event `number`."""
        with self._lock:
            self._received[number] = line, when

    def frame_sent(self, frame: int, now: float) -> None:
        """Record that a frame of the video is sent."""
        with self._lock:
            self._waiting += self._live.take_effects()
            shown = [
                effect
                for effect in self._waiting
                if effect.frame <= frame and effect.number in self._received
            ]
            for effect in shown:
                line, when = self._received.pop(effect.number)
                started, arrived = self.timings.of(effect.chunk, now)
                times = started - when, arrived - started, now - arrived
                self._done.append(EventLatency(line, effect.chunk, effect.frame, *times))
                self._waiting.remove(effect)

    def take(self) -> list[EventLatency]:
        """Return the latencies since the last call."""
        with self._lock:
            done, self._done = self._done, []
        return done
