"""Latency from a key in `play --in terminal` to the first image drawn that it changed.

    python -m benchmarks.play_latency --making 0.3

Runs the player on a pseudo-terminal with a model that sleeps for --making seconds per chunk.
"""

import argparse
import os
import pty
import random
import sys
import threading
import time
from statistics import mean, median

import numpy as np
from rich.console import Console

from lingbot_cli.control import Control
from lingbot_cli.server.client_messages import Init
from lingbot_cli.server.play_session import PlaySession, SessionSettings
from lingbot_cli.server.protocol import ClientLimits
from lingbot_cli.terminal.play import TerminalPlayer
from lingbot_cli.terminal.screen import Screen
from lingbot_cli.timeline.schema import CameraSettings

CHUNK, FPS, HEIGHT, WIDTH = 3, 16, 64, 112


class FrameTensor:
    """Frames with the interface of a tensor."""

    def __init__(self, frames: np.ndarray) -> None:
        self._frames = frames

    def cpu(self) -> "FrameTensor":
        return self

    def numpy(self) -> np.ndarray:
        return self._frames


class SleepingSession:
    """A session that sleeps and returns black frames."""

    def __init__(self, making: float) -> None:
        self._making = making
        self._frames = 4 * CHUNK - 3

    def step(self, control: Control) -> FrameTensor:  # noqa: ARG002 - all frames are black
        time.sleep(self._making)
        frames, self._frames = self._frames, 4 * CHUNK
        return FrameTensor(np.zeros((frames, HEIGHT, WIDTH, 3), np.uint8))


class StandInService:
    """A service that starts sleeping sessions."""

    def __init__(self, making: float) -> None:
        self._making = making

    def new_session(self, init: Init) -> PlaySession:  # noqa: ARG002 - nothing in it matters here
        still = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        setting = SessionSettings(still, "", HEIGHT, WIDTH, FPS, 42, CameraSettings())
        return PlaySession(
            setting, CHUNK, lambda _setting, _scale: SleepingSession(self._making), ClientLimits()
        )  # type: ignore


def main() -> int:
    """Run the player, press keys at random times, print a summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--making", type=float, default=0.3)
    parser.add_argument("--keys", type=int, default=12)
    chosen = parser.parse_args()
    hand, terminal = pty.openpty()
    latencies: list[float] = []
    with Screen(terminal, terminal) as screen:
        player = TerminalPlayer(screen, StandInService(chosen.making), None, "blocks")  # type: ignore[arg-type]

        def look() -> None:
            while os.read(hand, 1 << 16):
                continue

        def press() -> None:
            chance = random.Random(0)
            time.sleep(3)
            for _ in range(chosen.keys):
                player._latency_s = None
                os.write(hand, b"w")
                while player._latency_s is None:
                    time.sleep(0.01)
                latencies.append(player._latency_s)
                time.sleep(chance.uniform(0.8, 2.0))  # until it counts as let go
            os.write(hand, b"x")

        for work in (look, press):
            threading.Thread(target=work, daemon=True).start()
        player.run()
    Console().print(
        f"{len(latencies)} keys: median {median(latencies):.2f} s, mean {mean(latencies):.2f} s, "
        f"from {min(latencies):.2f} to {max(latencies):.2f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
