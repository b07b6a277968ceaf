"""Pacer of a stream: frames arrive in chunks and are sent one by one at a constant rate."""

import collections
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.sinks.live.targets import LiveOutput

Pace = Literal["hold", "smooth", "drop"]
POLL_INTERVAL_S = 0.2
MAX_DELAY_S = 10.0
"""A longer delay, of a machine that slept, is not caught up."""
CATCH_UP_FACTOR = 4
"""Overdue frames are sent at this multiple of the rate, which encoders and send queues bear for MAX_DELAY_S."""
RATE_WINDOW_S = 10.0
JOIN_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class PacerStats:
    """Frames rendered, sent, repeated and dropped, and seconds of video in the buffer."""

    made: int = 0
    shown: int = 0
    repeats: int = 0
    drops: int = 0
    buffer: float = 0.0


class SmoothRate:
    """Frame rate of `smooth`: the model's own rate, a little faster with a full buffer."""

    def __init__(self, fps: float, lead: float) -> None:
        self._fps = fps
        self._target = max(1.0, lead * fps)
        self._rate = fps
        self._last_chunk: float | None = None
        self._due = 1.0

    def chunk(self, frames: int, now: float) -> None:
        """Record the arrival of a chunk."""
        if self._last_chunk is not None:
            measured = min(self._fps, frames / max(now - self._last_chunk, 1e-6))
            self._rate = (self._rate + measured) / 2
        self._last_chunk = now

    def is_due(self, waiting: int) -> bool:
        """Return whether the next of `waiting` frames is due at this tick."""
        self._due += self._rate / self._fps * min(2.0, max(0.8, waiting / self._target))
        if self._due < 1:
            return False
        self._due = min(self._due - 1, 1.0)
        return True


class DueTimes:
    """Due time of the next frame, one every 1/fps s; overdue ones follow at CATCH_UP_FACTOR times the rate."""

    def __init__(self, fps: float, start: float) -> None:
        self._fps = fps
        self._start = self._soonest = start
        self._count = 0

    def delay(self, now: float) -> float:
        """Return the seconds until the next frame is due."""
        return max(self._start + self._count / self._fps, self._soonest) - now

    def sent(self, now: float) -> None:
        """Record that the frame that was due is sent."""
        if now - (self._start + self._count / self._fps) > MAX_DELAY_S:
            self._start, self._count = now, 0
        self._soonest = now + 1 / (self._fps * CATCH_UP_FACTOR)
        self._count += 1


class Pacer(Sink):
    """A sink that gives `outputs` one frame every 1/fps s, at first `still`.

    Frames have fixed due times: those that a stall delayed are sent after it, so that none is missing.
    `lead` seconds of video are buffered before the first is sent. With an empty buffer hold repeats the last frame;
    smooth slows down before; drop never blocks the writer and drops surplus frames. Once `stopped` nothing waits.
    `on_chunk(now)` is called for each chunk written, `on_frame(frame, now)` for each frame of the video sent, and
    `idle` from time to time, by the thread that writes.
    """

    name = "the stream"

    def __init__(
        self,
        outputs: Sequence[LiveOutput],
        fps: float,
        still: np.ndarray,
        *,
        pace: Pace = "hold",
        lead: float = 1.0,
        clock: Callable[[], float],
        stopped: Callable[[], bool] = lambda: False,
        on_chunk: Callable[[float], None] | None = None,
        on_frame: Callable[[int, float], None] | None = None,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._outputs = outputs
        self._fps = fps
        self._pace = pace
        self._lead = max(1, round(lead * fps))
        self._clock = clock
        self._stop_requested = stopped
        self._on_chunk = on_chunk
        self._on_frame = on_frame
        self._idle = idle
        self._last = still
        self._waiting: collections.deque[tuple[int, np.ndarray]] = collections.deque()
        self._smooth_rate = SmoothRate(fps, lead)
        self._stats = PacerStats()
        self._sent = 0  # frames of the video
        self._started = self._ended = self._stopped = False
        self._send_times: collections.deque[float] = collections.deque(
            maxlen=max(2, round(RATE_WINDOW_S * fps))
        )
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="pacer", daemon=True)

    def open(self, video: VideoInfo) -> None:  # noqa: ARG002
        self._thread.start()

    def write(self, frames: np.ndarray) -> None:
        """Buffer a chunk [T, H, W, 3]; except with drop, wait until less than `lead` is buffered."""
        if self._on_chunk is not None:
            self._on_chunk(self._clock())
        while self._pace != "drop":
            with self._change:
                if len(self._waiting) <= self._lead or self._stopped or self._stop_requested():
                    break
                self._change.wait(POLL_INTERVAL_S)
            self.check()
        with self._change:
            first = self._stats.made
            self._waiting.extend((first + index, frame) for index, frame in enumerate(frames))
            self._smooth_rate.chunk(len(frames), self._clock())
            dropped = self._drop_frames(self._lead + len(frames)) if self._pace == "drop" else 0
            self._stats = replace(self._stats, made=first + len(frames), drops=self._stats.drops + dropped)

    def check(self) -> None:
        for output in self._outputs:
            output.check()
        self._idle()

    def close(self) -> None:
        """Send all buffered frames at their times, unless stopped."""
        with self._change:
            self._ended = True
        while self._thread.is_alive() and not self._stop_requested():
            self._thread.join(POLL_INTERVAL_S)
            self.check()

    def abort(self) -> None:
        """Stop sending at once."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
        if self._thread.is_alive():
            self._thread.join(JOIN_TIMEOUT_S)

    def remaining(self, frames: int) -> float:
        """Return the seconds until the first so many frames of the video are sent."""
        return (frames - self._sent) / self._fps

    @property
    def stopped(self) -> bool:
        """True once no more frames are sent."""
        return self._stopped

    @property
    def stats(self) -> PacerStats:
        with self._change:
            return replace(self._stats, buffer=len(self._waiting) / self._fps)

    @property
    def rate(self) -> float:
        """Frames sent per second, over the last 10 s."""
        times = list(self._send_times)
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0

    def _drop_frames(self, most: int) -> int:
        """Drop frames, evenly, until at most `most` wait; return their number."""
        surplus = len(self._waiting) - most
        if surplus <= 0:
            return 0
        remaining = np.linspace(0, len(self._waiting) - 1, most).round().astype(int)
        self._waiting = collections.deque(self._waiting[index] for index in remaining)
        return surplus

    def _run(self) -> None:
        times = DueTimes(self._fps, self._clock())
        while True:
            with self._change:
                while not self._stopped and (early := times.delay(self._clock())) > 0:
                    self._change.wait(early)
            times.sent(self._clock())
            if not self.send_next():
                return

    def send_next(self) -> bool:
        """Send the frame of this tick to every output; False once there is none to send."""
        with self._change:
            if self._stopped or (self._ended and not self._waiting):
                return False
            self._next()
            self._change.notify_all()
        for output in self._outputs:
            output.put(self._last)
        self._send_times.append(self._clock())
        return True

    def _next(self) -> None:
        """Choose the frame of this tick: the next in the buffer, or the last again."""
        self._started = self._started or self._ended or len(self._waiting) >= self._lead
        due = self._started and (self._pace != "smooth" or self._smooth_rate.is_due(len(self._waiting)))
        if due and self._waiting:
            frame, self._last = self._waiting.popleft()
            self._stats = replace(self._stats, shown=self._stats.shown + 1)
            self._sent = frame + 1
            if self._on_frame is not None:
                self._on_frame(frame, self._clock())
        else:
            self._stats = replace(self._stats, shown=self._stats.shown + 1, repeats=self._stats.repeats + 1)
