"""`lingbot …` with a model that computes nothing: each chunk sleeps DENOISE, then DECODE seconds.

It measures the program itself: its waiting, pacing and transfers.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lingbot_cli.__main__ import main
from lingbot_cli.broadcast import broadcast as stream
from lingbot_cli.broadcast.source import PreparedStream
from lingbot_cli.control import Control

DENOISE, DECODE = (float(os.environ.get(name, "0.1")) for name in ("DENOISE", "DECODE"))


class SleepingSession:
    """A session that repeats its first image."""

    def __init__(self, picture: np.ndarray) -> None:
        self._picture = picture
        self._begun = False

    def denoise(self, control: Control, _on_clean: object = None) -> np.ndarray:
        time.sleep(DENOISE)
        return np.zeros((16, len(control.poses), 1, 1), np.float32)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        time.sleep(DECODE)
        frames = 4 * latents.shape[1] - (0 if self._begun else 3)
        self._begun = True
        return np.repeat(self._picture[None], frames, 0)


def open_world(show: PreparedStream) -> Callable[[Path | None], SleepingSession]:
    still = np.zeros((show.height, show.width, 3), np.uint8)
    return lambda _cut: SleepingSession(still)


if __name__ == "__main__":
    stream._local_sessions = open_world  # type: ignore[assignment]
    sys.argv[0] = "lingbot"
    main()
