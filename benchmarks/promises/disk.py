"""A disk that fills up: exit code 4 within two seconds, and a playable partial file."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.promises.process import IMAGE, SMALL, TIMEOUT_S, Outcome, frame_count, start

MAX_SECONDS = 2.0
DISK_KIB = 256


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small file system on a new folder; False without the right to."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KIB}k", "none", str(folder)]
    mounted = not subprocess.run(mount, capture_output=True).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def is_full(folder: Path) -> bool:
    """Return whether no page is left."""
    return os.statvfs(folder).f_bavail == 0


def full_disk(folder: Path, tries: int) -> Outcome:
    """Render onto a disk until it is full."""
    failures, worst_s = [], 0.0
    for number in range(tries):
        with small_disk(folder / str(number)) as mounted:
            if not mounted:
                return Outcome("disk full", 0, "not measured: mounting needs root")
            video = folder / str(number) / "a.mkv"
            move = (
                "--moves",
                "w-800",
                "--prompt",
                "a court",
                *SMALL,
                "--device",
                "cpu",
                "--quality",
                "master",
            )
            run = start(["render", IMAGE, *move, "-o", video])
            while run.poll() is None and not is_full(video.parent):
                time.sleep(0.005)
            full_at = time.monotonic()
            code = run.wait(TIMEOUT_S)
            worst_s = max(worst_s, time.monotonic() - full_at)
            frames = frame_count(video.with_name("a.partial.mkv"))
            if code != 4 or not frames or video.exists():
                failures.append(f"exit code {code}, {frames} frames in the partial file")
    if worst_s > MAX_SECONDS:
        failures.append(f"it took {worst_s:.1f} s")
    return Outcome("disk full", tries, f"exit code 4 within {worst_s:.2f} s", tuple(failures))
