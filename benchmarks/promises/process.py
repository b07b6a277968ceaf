"""Child processes of lingbot: started, killed with SIGKILL, and watched for orphans."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
from tests.support.processes import children, has_exited, wait_until

IMAGE = Path(__file__).parents[2] / "samples" / "courtyard-day.png"
SIZE = 32  # pixels, of both sides
SMALL = ("--size", f"{SIZE}x{SIZE}")
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """One promise: how often it was tried, its measured figure, and the failures."""

    promise: str
    tries: int
    figure: str
    failures: tuple[str, ...] = ()


def start(
    arguments: Sequence[object], environ: Mapping[str, str] = {}, **streams: int
) -> subprocess.Popen[str]:
    """Start `lingbot ARGUMENTS` with its output thrown away, unless `streams` say otherwise."""
    return subprocess.Popen(
        [sys.executable, "-m", "lingbot_cli", *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "2"} | dict(environ),
        text=True,
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
            **streams,
        },
    )


def descendants(pid: int) -> list[int]:
    """Return all processes below one."""
    below = children(pid)
    return below + [each for child in below for each in descendants(child)]


def kill(process: subprocess.Popen[str], moment_s: float) -> float:
    """Kill a process after some seconds, unless it has ended; return the seconds that its children outlived it."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment_s)
    family = descendants(process.pid) if process.poll() is None else []
    process.kill()
    process.wait(TIMEOUT_S)
    killed = time.monotonic()
    wait_until(lambda: all(map(has_exited, family)))
    return time.monotonic() - killed


def seconds(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def frame_count(video: Path) -> int:
    """Return the number of frames that decode, 0 for a missing file or one without a frame."""
    if not video.is_file() or not video.stat().st_size:
        return 0
    command = [
        find_ffmpeg(os.environ),
        "-v",
        "error",
        "-i",
        str(video),
        "-pix_fmt",
        "gray",
        "-f",
        "rawvideo",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S)
    return len(done.stdout) // SIZE**2
