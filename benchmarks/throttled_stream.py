"""A stream for minutes while the world runs at a part of real time: does its frame rate hold?

    python -m benchmarks.throttled_stream --minutes 10 --speed 0.4 --to rtmp://127.0.0.1/live/key

The built-in world is slowed down to `--speed` times real time; every 30 s and at the end one line says how
many frames were sent, at what rate, and the largest deviation from it over any minute. Exit 1 beyond 1 %.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console

from lingbot_cli.control import Control
from lingbot_cli.image import framed, read_image
from lingbot_cli.run.job import render
from lingbot_cli.run.pacing import Pacer
from lingbot_cli.run.steps import fresh
from lingbot_cli.sinks.base import FilmInfo
from lingbot_cli.sinks.targets import LiveOutput, StreamOptions, choose_target, start_all
from lingbot_cli.timeline.loop import loop
from lingbot_cli.timeline.moves import parse_moves
from lingbot_cli.timeline.schedule import schedule
from lingbot_cli.weights.load import load_world
from lingbot_cli.world.session import Session

FPS, HEIGHT, WIDTH = 16, 64, 112
IMAGE = Path(__file__).parents[1] / "samples" / "courtyard-day.png"


def slowed(controls: Iterator[Control], speed: float, end: float) -> Iterator[Control]:
    """Controls handed out no faster than the world may run, until `end`."""
    due = time.monotonic()
    for control in controls:
        if time.monotonic() > end:
            return
        time.sleep(max(0.0, due - time.monotonic()))
        due += control.frames / (speed * FPS)
        yield control


class Rates:
    """What an output has sent, a sample a second."""

    def __init__(self, output: LiveOutput, console: Console) -> None:
        self.output = output
        self.console = console
        self.samples: list[tuple[float, int]] = []

    def tick(self) -> None:
        now = time.monotonic()
        if self.samples and now - self.samples[-1][0] < 1:
            return
        self.samples.append((now, self.output.delivery.sent))
        if len(self.samples) % 30 == 0:
            self.console.print(self.line())

    def over(self, first: int, last: int) -> float:
        (begun, few), (ended, many) = self.samples[first], self.samples[last]
        return (many - few) / (ended - begun)

    def line(self) -> str:
        minutes = [self.over(i, i + 60) for i in range(len(self.samples) - 60)]
        worst = max((abs(rate - FPS) / FPS for rate in minutes), default=0.0)
        delivery = self.output.delivery
        return (
            f"{self.samples[-1][0] - self.samples[0][0]:.0f} s: {delivery.sent} frames sent, {delivery.lost} lost, "
            f"{self.over(0, -1):.3f} fps, worst minute off by {worst:.2%}"
        )


def main() -> int:
    """Stream, watch, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--speed", type=float, default=0.4)
    parser.add_argument("--pace", default="hold", choices=("hold", "smooth"))
    parser.add_argument("--to", default="null:")
    chosen = parser.parse_args()
    console = Console()
    image = framed(read_image(IMAGE), HEIGHT, WIDTH)
    world = load_world()
    film = FilmInfo(HEIGHT, WIDTH, Fraction(FPS))
    still = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    target = choose_target(chosen.to, StreamOptions(), os.environ)
    (output,) = start_all([target], film, still, lambda gap: console.print(str(gap)))
    rates = Rates(output, console)
    pacer = Pacer([output], FPS, still, pace=chosen.pace, clock=time.monotonic, tick=rates.tick)
    pacer.open(film)
    timed = schedule(parse_moves("w-20,l-15,none-5"), world.preset.chunk)
    controls = slowed(loop(timed), chosen.speed, time.monotonic() + 60 * chosen.minutes)
    made = render(
        fresh(controls),
        lambda _cut: Session(world, image, height=HEIGHT, width=WIDTH),
        pacer,
        stopped=lambda: False,
        on_chunk=lambda _chunk: rates.tick(),
    )
    flow = pacer.flow
    pacer.abort()
    console.print(rates.line())
    elapsed = rates.samples[-1][0] - rates.samples[0][0]
    console.print(
        f"{made.frames} made, {made.frames / elapsed / FPS:.1%} of real time; {flow.repeats} repeats"
    )
    output.close()
    return int(abs(rates.over(0, -1) - FPS) > FPS / 100)


if __name__ == "__main__":
    sys.exit(main())
