"""Just-in-time start and pacing of live chunks: each as late as the pace allows, so that it has the newest events."""

import collections
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from lingbot_cli.control import Control

POLL_INTERVAL_S = 0.05
_TIMED_CHUNKS = 8
"""The slowest of the last chunks predicts the next one's time."""
_HISTORY_CHUNKS = 256
"""Chunks with known times."""
SAFETY_MARGIN_S = 0.05  # a chunk is ready this long before it is due


class ChunkTimings:
    """Start and arrival of each chunk, in seconds of one clock; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: dict[int, float] = {}
        self._arrived: dict[int, float] = {}
        self._next_start = self._next_arrival = 0
        self._seconds: collections.deque[float] = collections.deque(maxlen=_TIMED_CHUNKS)

    def start(self, now: float) -> None:
        """Record that the next chunk has its inputs."""
        with self._lock:
            self._started[self._next_start] = now
            self._started.pop(self._next_start - _HISTORY_CHUNKS, None)
            self._next_start += 1

    def arrived(self, now: float) -> None:
        """Record that the frames of the next chunk are rendered."""
        with self._lock:
            chunk = self._next_arrival
            self._arrived[chunk] = now
            self._arrived.pop(chunk - _HISTORY_CHUNKS, None)
            if chunk and chunk in self._started:  # the first one is warm-up
                self._seconds.append(now - self._started[chunk])
            self._next_arrival += 1

    def of(self, chunk: int, default: float) -> tuple[float, float]:
        """Return start and arrival of a chunk, `default` where they are unknown."""
        with self._lock:
            return self._started.get(chunk, default), self._arrived.get(chunk, default)

    @property
    def render_time(self) -> float:
        """Seconds that a chunk may take from its start to its arrival."""
        with self._lock:
            return max(self._seconds, default=0.0)


def just_in_time(
    controls: Iterable[Control],
    timings: ChunkTimings,
    *,
    remaining: Callable[[int], float],
    stopped: Callable[[], bool],
    lead: float,
    clock: Callable[[], float],
) -> Iterator[Control]:
    """Yield each Control once the frames before it will be sent within its render time plus `lead` seconds.

    `remaining(n)`: seconds until the first `n` frames of the video are sent. Ends once `stopped`.
    """
    frames, source = 0, iter(controls)
    while True:
        while not stopped() and (early := remaining(frames) - timings.render_time - lead) > 0:
            time.sleep(min(early, POLL_INTERVAL_S))
        control = None if stopped() else next(source, None)
        if control is None:
            return
        timings.start(clock())
        frames += control.frames
        yield control


class ChunkPacer:
    """Schedule in monotonic seconds; the frames that were sent last until `due`."""

    def __init__(self) -> None:
        self.due = 0.0
        self._render_s = 0.0

    def render_delay(self, now: float) -> float:
        """Return the seconds until the next chunk should be rendered."""
        return max(0.0, self.due - self._render_s - SAFETY_MARGIN_S - now)

    def send_delay(self, now: float) -> float:
        """Return the seconds until the next chunk should be sent."""
        return max(0.0, self.due - now)

    def chunk_sent(self, duration_s: float, render_s: float, now: float) -> None:
        """Record a chunk of `duration_s` that took `render_s` to render."""
        # Slower chunks raise the estimate at once, faster ones lower it gradually.
        self._render_s = max(render_s, 0.8 * self._render_s + 0.2 * render_s)
        self.due = max(self.due, now) + duration_s
