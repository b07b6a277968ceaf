"""What is told of a stream while it runs: figures, effects of live events, gaps."""

import collections
from collections.abc import Callable, Sequence

from lingbot_cli.broadcast.latency import LatencyTracker
from lingbot_cli.broadcast.pacer import Pacer
from lingbot_cli.render.pipeline import RenderedChunk
from lingbot_cli.sinks.live.reconnecting_output import Outage
from lingbot_cli.sinks.live.targets import LiveOutput
from lingbot_cli.ui.display import Display, Report
from lingbot_cli.ui.progress import ProgressMeter, duration_text


class StreamMonitor:
    """Tells the display how a stream is going, from the thread that makes it."""

    pacer: Pacer

    def __init__(
        self,
        display: Display,
        outputs: Sequence[LiveOutput],
        acks: LatencyTracker | None,
        meter: ProgressMeter,
        clock: Callable[[], float],
    ) -> None:
        self._display = display
        self._outputs = outputs
        self._acks = acks
        self._meter = meter
        self._clock = clock
        self._made = 0.0  # frames a second
        self._chunks = 0
        self._latency: float | None = None  # of the newest event that acted
        self._begun = self._told = clock()
        self._sent: collections.deque[tuple[float, int]] = collections.deque(maxlen=12)

    def chunk(self, chunk: RenderedChunk) -> None:
        """A chunk has been handed to the pacer."""
        progress = self._meter.count(chunk.task.shown)
        self._made, self._chunks = progress.fps, progress.chunk
        self.tick()

    def tick(self) -> None:
        """Tell what there is to tell, when it is time."""
        for ack in self._acks.take() if self._acks is not None else ():
            text = (
                f"line {ack.line} acts in chunk {ack.chunk}, frame {ack.frame}, after {ack.latency:.2f} s: "
                f"{ack.boundary:.2f} until the chunk began, {ack.making:.2f} until it was made, "
                f"{ack.buffered:.2f} until its turn"
            )
            facts = {
                "line": ack.line,
                "chunk": ack.chunk,
                "frame": ack.frame,
                "latency": round(ack.latency, 3),
                "boundary": round(ack.boundary, 3),
                "making": round(ack.making, 3),
                "buffered": round(ack.buffered, 3),
            }
            self._latency = ack.latency
            self._display.event("effect", Report(facts, text))
        if self._clock() - self._told >= self._display.interval_s:
            self.state()

    def state(self) -> None:
        """Tell the figures."""
        self._told = self._clock()
        self._sent.append((self._told, min(output.stats.sent for output in self._outputs)))
        self._display.state(Report(self.facts(), self._line()))

    def facts(self) -> dict[str, object]:
        """The figures as `--json` prints them."""
        flow = self.pacer.flow
        deliveries = [output.stats for output in self._outputs]
        return {
            "chunk": self._chunks,
            "made": flow.made,
            "made_fps": round(self._made, 2),
            "paced": flow.shown,
            "paced_fps": round(self.pacer.rate, 2),
            "sent_fps": round(self._sent_fps(), 2),
            "repeats": flow.repeats,
            "drops": flow.drops,
            "buffer": round(flow.buffer, 2),
            "latency": None if self._latency is None else round(self._latency, 3),
            "reconnects": sum(each.reconnects for each in deliveries),
            "outputs": [
                {
                    "name": each.name,
                    "sent": each.sent,
                    "lost": each.lost,
                    "reconnects": each.reconnects,
                    "connected": each.connected,
                }
                for each in deliveries
            ],
        }

    def _sent_fps(self) -> float:
        if len(self._sent) < 2:
            return self.pacer.rate
        (before, few), (after, many) = self._sent[0], self._sent[-1]
        return (many - few) / max(after - before, 1e-6)

    def _line(self) -> str:
        flow = self.pacer.flow
        deliveries = [output.stats for output in self._outputs]
        parts = [
            f"chunk {self._chunks}",
            f"made {self._made:.1f} fps",
            f"sent {self._sent_fps():.1f} fps",
            f"{flow.repeats} repeats",
            f"{flow.drops} drops",
            f"buffer {flow.buffer:.1f} s",
            *(() if self._latency is None else (f"line to frame {self._latency:.1f} s",)),
            f"{sum(each.reconnects for each in deliveries)} reconnects",
            *(f"{each.name} is away" for each in deliveries if not each.connected),
        ]
        return " · ".join(parts)

    def summary(self, fps: int) -> str:
        """What the stream was, and what each output got of it."""
        flow = self.pacer.flow
        seconds = max(self._told - self._begun, 1e-6)
        return "; ".join(
            (
                f"{flow.shown} frames, {duration_text(flow.shown / fps)} on the air: "
                f"{flow.made} made ({self._made:.1f} fps), {flow.repeats} repeated, {flow.drops} dropped",
                *(
                    f"{each.sent} sent to {each.name} ({each.sent / seconds:.1f} fps, {each.lost} lost, "
                    f"{each.reconnects} reconnects)"
                    for each in (output.stats for output in self._outputs)
                ),
            )
        )


def report_gap(display: Display, gap: Outage) -> None:
    """Tell of a connection that is lost, or is back."""
    facts: dict[str, object] = {"output": gap.name, "reason": gap.reason}
    if gap.seconds is None:
        what = gap.reason if gap.reason.startswith(gap.name) else f"{gap.name}: {gap.reason}"
        display.event("lost", Report(facts, f"{what}; trying again, the world goes on"))
        return
    facts |= {"seconds": round(gap.seconds, 2), "frames": gap.frames}
    text = f"{gap.name} was away for {duration_text(gap.seconds)}; {gap.frames} frames are missing there"
    display.event("gap", Report(facts, text))
