"""Frame rate of a stream whose model is slower than real time, measured over minutes.

    python -m benchmarks.throttled_stream --minutes 10 --speed 0.4 --to rtmp://127.0.0.1/live/key --json held.json

The built-in model is slowed down to `--speed` times real time. Every 30 s and at the end a line reports frames
sent, frame rate, its largest deviation over any minute, and the longest time without a frame. Exit code 0: the
rate of the whole stream and of every minute is within 1 %, the stream lasted as long as requested, no frame and
no connection was lost, and the model was slow enough that frames were repeated. Otherwise the failed criteria
are printed, and the exit code is 1.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console

from lingbot_cli.broadcast.pacer import Pacer
from lingbot_cli.control import Control
from lingbot_cli.errors import LingbotError
from lingbot_cli.image import crop_to_aspect, read_image
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.render.chunk_plan import new_tasks
from lingbot_cli.render.pipeline import run_pipeline
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.live.targets import LiveOutput, StreamOptions, choose_target, start_all
from lingbot_cli.timeline.live import loop_timeline
from lingbot_cli.timeline.moves import parse_moves
from lingbot_cli.timeline.schedule import schedule_timeline

FPS, HEIGHT, WIDTH = 16, 64, 112
IMAGE = Path(__file__).parents[1] / "samples" / "courtyard-day.png"
_MAX_DEVIATION = 0.01  # of the frame rate
_SAMPLE_INTERVAL_S = 0.02  # a third of a frame's duration
_MINUTE_S = 60.0
_REPORT_INTERVAL_S = 30.0


def throttle(controls: Iterator[Control], speed: float, end: float) -> Iterator[Control]:
    """Yield controls no faster than at `speed` times real time, until `end`."""
    due = time.monotonic()
    for control in controls:
        if time.monotonic() > end:
            return
        time.sleep(max(0.0, due - time.monotonic()))
        due += control.frames / (speed * FPS)
        yield control


@dataclass(frozen=True)
class RateReport:
    """Measurements of a stream: seconds, frames, frames per second, and deviations relative to the frame rate.

    `worst_minute` is None for less than a minute; `worst_gap` is the longest time in seconds without a frame,
    `worst_gap_at` its start in seconds after the first frame. `speed` is the model's in multiples of real time;
    `failure` is the output's error, if any.
    """

    seconds: float
    sent: int
    lost: int
    reconnects: int
    fps: float
    deviation: float
    worst_minute: float | None
    worst_gap: float
    worst_gap_at: float
    made: int = 0
    speed: float = 0.0
    repeats: int = 0
    failure: str | None = None

    def line(self) -> str:
        """Return the measurements as a line of text."""
        worst = (
            "no whole minute" if self.worst_minute is None else f"worst minute off by {self.worst_minute:.2%}"
        )
        return (
            f"{self.seconds:.0f} s: {self.sent} frames sent, {self.lost} lost, {self.reconnects} reconnects, "
            f"{self.fps:.3f} fps, {worst}, {self.worst_gap:.2f} s the longest without one "
            f"(after {self.worst_gap_at:.0f} s)"
        )

    def failings(self, speed: float, seconds: float) -> list[str]:
        """Return the failed criteria of a stream of `seconds` whose model should run at `speed`."""
        cases = (
            (self.failure is not None, str(self.failure)),
            (self.seconds < seconds * 0.95, f"it lasted {self.seconds:.0f} s, not {seconds:.0f}"),
            (self.deviation > _MAX_DEVIATION, f"the rate is off by {self.deviation:.2%}"),
            ((self.worst_minute or 0.0) > _MAX_DEVIATION, "a minute is off by more than 1 %"),
            (self.lost > 0, f"{self.lost} frames were lost"),
            (self.reconnects > 0, "the connection was lost"),
            (self.made == 0, "the model rendered nothing"),
            (
                self.speed > speed * 1.1,
                f"the model ran at {self.speed:.0%} of real time: too fast for this measurement",
            ),
            (self.repeats == 0, "no frame was repeated: the model was never too slow"),
        )
        return [text for failed, text in cases if failed]


class RateMonitor:
    """Samples of an output's number of frames sent, taken by a thread."""

    def __init__(self, output: LiveOutput) -> None:
        self.output = output
        self._samples: list[tuple[float, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="rates", daemon=True)

    def begin(self) -> None:
        """Start sampling."""
        self._thread.start()

    def end(self) -> None:
        """Stop sampling."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_SAMPLE_INTERVAL_S):
            sent = self.output.stats.sent
            if sent and (not self._samples or sent > self._samples[-1][1]):
                self._samples.append((time.monotonic(), sent))

    def report(self) -> RateReport | None:
        """Return the measurements from the first frame sent to the last; None before the second."""
        samples = list(self._samples)
        if len(samples) < 2:
            return None
        times = np.array([moment for moment, _ in samples])
        counts = np.array([count for _, count in samples])
        gaps = np.diff(times)
        fps = float((counts[-1] - counts[0]) / (times[-1] - times[0]))
        after = np.searchsorted(times, times + _MINUTE_S)
        whole = after < len(times)
        minutes = (counts[after[whole]] - counts[whole]) / (times[after[whole]] - times[whole])
        delivery = self.output.stats
        return RateReport(
            *(float(times[-1] - times[0]), delivery.sent, delivery.lost, delivery.reconnects),
            fps=fps,
            deviation=abs(fps - FPS) / FPS,
            worst_minute=float(np.abs(minutes - FPS).max() / FPS) if len(minutes) else None,
            worst_gap=float(gaps.max()),
            worst_gap_at=float(times[gaps.argmax()] - times[0]),
        )


def run_stream(chosen: argparse.Namespace, console: Console) -> RateReport | None:
    """Stream from the slowed model for the chosen time; return None if nothing was sent."""
    image = crop_to_aspect(read_image(IMAGE), HEIGHT, WIDTH)
    world = load_model()
    film = VideoInfo(HEIGHT, WIDTH, Fraction(FPS))
    still = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    target = choose_target(chosen.to, StreamOptions(), os.environ)
    (output,) = start_all([target], film, still, lambda gap: console.print(f"{gap.name}: {gap.reason}"))
    rates = RateMonitor(output)
    reported = time.monotonic()

    def print_report() -> None:
        nonlocal reported
        if time.monotonic() - reported >= _REPORT_INTERVAL_S and (report := rates.report()) is not None:
            reported = time.monotonic()
            console.print(report.line())

    pacer = Pacer([output], FPS, still, pace=chosen.pace, clock=time.monotonic, idle=print_report)
    pacer.open(film)
    rates.begin()
    timed = schedule_timeline(parse_moves("w-20,l-15,none-5"), world.preset.chunk)
    begun = time.monotonic()
    controls = throttle(loop_timeline(timed), chosen.speed, begun + 60 * chosen.minutes)
    made = run_pipeline(
        new_tasks(controls),
        lambda _cut: Session(world, image, height=HEIGHT, width=WIDTH),
        pacer,
        stopped=lambda: False,
        on_chunk=lambda _chunk: print_report(),
    )
    speed = made.frames / (time.monotonic() - begun) / FPS
    rates.end()
    report = rates.report()
    pacer.abort()
    failure = None
    try:
        output.close()
    except LingbotError as lost:
        failure = str(lost)
    return report and replace(
        report, made=made.frames, speed=speed, repeats=pacer.stats.repeats, failure=failure
    )


def main() -> int:
    """Run the stream, print measurements and failed criteria."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--speed", type=float, default=0.4)
    parser.add_argument("--pace", default="hold", choices=("hold", "smooth"))
    parser.add_argument("--to", default="null:")
    parser.add_argument("--json", type=Path, help="a file for the measurements")
    chosen = parser.parse_args()
    console = Console(soft_wrap=True)
    report = run_stream(chosen, console)
    if report is None:
        console.print("nothing was sent")
        return 1
    failings = report.failings(chosen.speed, 60 * chosen.minutes)
    console.print(report.line())
    console.print(f"{report.made} made, {report.speed:.1%} of real time; {report.repeats} repeats")
    console.print("; ".join(failings) or "all criteria hold")
    if chosen.json is not None:
        chosen.json.write_text(
            json.dumps({"held": not failings, "failings": failings, **asdict(report)}, indent=2)
        )
    return int(bool(failings))


if __name__ == "__main__":
    sys.exit(main())
