"""Statistics of a running stream, reported to the display: rates, latencies of live events, outages."""

import collections
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from lingbot_cli.broadcast.just_in_time import ChunkTimings
from lingbot_cli.broadcast.pacer import Pacer
from lingbot_cli.render.pipeline import RenderedChunk
from lingbot_cli.sinks.live.reconnecting_output import Outage
from lingbot_cli.sinks.live.targets import LiveOutput
from lingbot_cli.timeline.live import Effect, LiveTimeline
from lingbot_cli.ui.display import Display, Report
from lingbot_cli.ui.progress import ProgressMeter, duration_text


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


SENT_SAMPLES = 12
"""Reports over which the rate of the slowest output is measured."""


class StreamMonitor:
    """Reports a stream's statistics, from the thread that renders it."""

    pacer: Pacer

    def __init__(
        self,
        display: Display,
        outputs: Sequence[LiveOutput],
        tracker: LatencyTracker | None,
        meter: ProgressMeter,
        clock: Callable[[], float],
    ) -> None:
        self._display = display
        self._outputs = outputs
        self._tracker = tracker
        self._meter = meter
        self._clock = clock
        self._render_fps = 0.0
        self._chunks = 0
        self._latency: float | None = None  # of the latest event
        self._started = self._reported = clock()
        self._sent: collections.deque[tuple[float, int]] = collections.deque(maxlen=SENT_SAMPLES)

    def chunk_written(self, chunk: RenderedChunk) -> None:
        """Count a chunk that the pacer has."""
        progress = self._meter.count(chunk.task.shown)
        self._render_fps, self._chunks = progress.fps, progress.chunk
        self.update()

    def update(self) -> None:
        """Report new latencies, and the statistics when they are due."""
        for latency in self._tracker.take() if self._tracker is not None else ():
            self._latency = latency.latency
            self._display.event("effect", _latency_report(latency))
        if self._clock() - self._reported >= self._display.interval_s:
            self.report_state()

    def report_state(self) -> None:
        """Report the statistics."""
        self._reported = self._clock()
        self._sent.append((self._reported, min(output.stats.sent for output in self._outputs)))
        self._display.state(Report(self.facts(), self._line()))

    def facts(self) -> dict[str, object]:
        """Return the statistics as `--json` prints them."""
        paced = self.pacer.stats
        outputs = [output.stats for output in self._outputs]
        return {
            "chunk": self._chunks,
            "made": paced.made,
            "made_fps": round(self._render_fps, 2),
            "paced": paced.shown,
            "paced_fps": round(self.pacer.rate, 2),
            "sent_fps": round(self._sent_fps(), 2),
            "repeats": paced.repeats,
            "drops": paced.drops,
            "buffer": round(paced.buffer, 2),
            "latency": None if self._latency is None else round(self._latency, 3),
            "reconnects": sum(output.reconnects for output in outputs),
            "outputs": [asdict(output) for output in outputs],
        }

    def summary(self, fps: float) -> str:
        """Return the statistics of the whole stream and of each output."""
        paced = self.pacer.stats
        seconds = max(self._reported - self._started, 1e-6)
        stream = (
            f"{paced.shown} frames, {duration_text(paced.shown / fps)}: {paced.made} rendered "
            f"({self._render_fps:.1f} fps), {paced.repeats} repeated, {paced.drops} dropped"
        )
        outputs = [
            f"{output.sent} sent to {output.name} ({output.sent / seconds:.1f} fps, {output.lost} lost, "
            f"{output.reconnects} reconnects)"
            for output in (each.stats for each in self._outputs)
        ]
        return "; ".join([stream, *outputs])

    def _sent_fps(self) -> float:
        if len(self._sent) < 2:
            return self.pacer.rate
        (before, few), (after, many) = self._sent[0], self._sent[-1]
        return (many - few) / max(after - before, 1e-6)

    def _line(self) -> str:
        paced = self.pacer.stats
        outputs = [output.stats for output in self._outputs]
        parts = [
            f"chunk {self._chunks}",
            *(f"{output.name} is disconnected" for output in outputs if not output.connected),
            f"rendered {self._render_fps:.1f} fps",
            f"sent {self._sent_fps():.1f} fps",
            f"{paced.repeats} repeats",
            f"{paced.drops} drops",
            f"buffer {paced.buffer:.1f} s",
            *(() if self._latency is None else (f"latency {self._latency:.1f} s",)),
            f"{sum(output.reconnects for output in outputs)} reconnects",
        ]
        return " · ".join(parts)


def report_outage(display: Display, outage: Outage) -> None:
    """Report a connection that is lost, or restored."""
    facts: dict[str, object] = {"output": outage.name, "reason": outage.reason}
    if outage.seconds is None:
        named = outage.reason.startswith(outage.name)
        reason = outage.reason if named else f"{outage.name}: {outage.reason}"
        display.event("lost", Report(facts, f"{reason}; reconnecting, the stream continues"))
        return
    facts |= {"seconds": round(outage.seconds, 2), "frames": outage.frames}
    outage_text = f"{outage.name} was disconnected for {duration_text(outage.seconds)}"
    display.event("gap", Report(facts, f"{outage_text}; {outage.frames} frames are missing there"))


def _latency_report(latency: EventLatency) -> Report:
    text = (
        f"line {latency.line} took effect in chunk {latency.chunk}, frame {latency.frame}, "
        f"after {latency.latency:.2f} s: {latency.boundary:.2f} until the chunk started, "
        f"{latency.making:.2f} to render it, {latency.buffered:.2f} in the buffer"
    )
    facts = asdict(latency) | {"latency": latency.latency}
    return Report({name: round(value, 3) for name, value in facts.items()}, text)
