"""Rewrite of a complete MP4 file without encoding: its index in front of the frames, in one piece."""

import contextlib
import subprocess
import time
from pathlib import Path

from lingbot_cli.ui.signals import stop_requested

_POLL_INTERVAL_S = 0.1
_STALL_TIMEOUT_S = 8.0


def remux_args(ffmpeg: str, source: Path, target: Path) -> list[str]:
    """Return the command that copies an MP4 file with its index first."""
    args = [ffmpeg, "-nostdin", "-v", "error", "-y", "-i", f"file:{source.absolute()}"]
    args += ["-map", "0:v", "-map_metadata", "0", "-map_chapters", "0", "-c", "copy"]
    args += ["-movflags", "+faststart+use_metadata_tags"]
    return [*args, "-f", "mp4", f"file:{target.absolute()}"]


def write_index_first(ffmpeg: str, source: Path, target: Path) -> bool:
    """Copy an MP4 file with its index first; return False where a full or hanging disk or a signal prevents it."""
    child = subprocess.Popen(
        remux_args(ffmpeg, source, target),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    size, changed_at = 0, time.monotonic()
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(_POLL_INTERVAL_S) == 0
            now = target.stat().st_size if target.exists() else 0
            if now != size:
                size, changed_at = now, time.monotonic()
            if stop_requested() or time.monotonic() - changed_at > _STALL_TIMEOUT_S:
                return False
    finally:
        child.kill()
        child.wait()
