"""Latency from a line on standard input to the first frame sent that it changed.

    python -m benchmarks.live_latency --denoise 0.2 --decode 0.1 -- --lead 0.5

Runs `lingbot stream` with a model that sleeps for --denoise and --decode seconds per chunk, or with the built-in
one (--real); arguments after -- are passed on. Lines are sent at random times, each after the effect of the
previous one.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

from rich.console import Console

IMAGE = Path(__file__).parents[1] / "samples" / "courtyard-day.png"
PARTS = ("boundary", "making", "buffered")


def wait_for(child: "subprocess.Popen[str]", *events: str) -> dict[str, Any]:
    """Return the next JSON line with one of these events."""
    assert child.stdout is not None
    for line in child.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["event"] in events:
            return event
    raise SystemExit("the stream has ended")


def main() -> int:
    """Run a stream, send lines, wait for their effects, print a summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--size", default="112x64")
    parser.add_argument("--denoise", default="0.2")
    parser.add_argument("--decode", default="0.1")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--settle", type=float, default=8.0, help="seconds on the air before the first line")
    parser.add_argument("rest", nargs="*")
    chosen = parser.parse_args()
    command = ["stream", str(IMAGE), "-t", "-", "--to", "null:", "--size", chosen.size, "--json"]
    program = "lingbot_cli" if chosen.real else "benchmarks.stand_in"
    child = subprocess.Popen(
        [sys.executable, "-m", program, *command, *chosen.rest],
        env={**os.environ, "DENOISE": chosen.denoise, "DECODE": chosen.decode},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    chance = random.Random(0)

    def send(**event: object) -> None:
        assert child.stdin is not None
        child.stdin.write(json.dumps(event) + "\n")
        child.stdin.flush()

    send(timeline=1)
    while wait_for(child, "stream")["chunk"] < 1:
        continue
    ready = time.monotonic() + chosen.settle
    before = wait_for(child, "stream")
    while time.monotonic() < ready:
        before = wait_for(child, "stream")
    begun, effects = time.monotonic(), []
    for number in range(chosen.events):
        time.sleep(chance.uniform(0.1, 1.5))
        send(keys="wasd"[number % 4])
        effects.append(wait_for(child, "effect"))
    after = wait_for(child, "stream")
    elapsed = time.monotonic() - begun
    send(end=True)
    child.stdin.close()
    wait_for(child, "done")
    child.wait(60)
    latencies = sorted(effect["latency"] for effect in effects)
    console = Console()
    console.print(
        f"{len(latencies)} lines: median {median(latencies):.2f} s, mean {mean(latencies):.2f} s, "
        f"from {latencies[0]:.2f} to {latencies[-1]:.2f} s"
    )
    if PARTS[0] in effects[0]:
        parts = [f"{part} {mean(effect[part] for effect in effects):.2f} s" for part in PARTS]
        console.print("on average: " + ", ".join(parts))
    console.print(
        f"{after['repeats'] - before['repeats']} repeats in {elapsed:.0f} s; "
        f"made {after['made_fps']} fps, paced {after['paced_fps']} fps"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
