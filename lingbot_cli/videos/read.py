"""Frames of a video file or a numbered image sequence, decoded with ffmpeg."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.frame_pattern import FramePattern


def read_frames(ffmpeg: str, video: Path, *, filters: str | None = None) -> Iterator[np.ndarray]:
    """Yield every frame of a video or of a numbered sequence (`%05d.png`), uint8 RGB [H, W, 3].

    `filters` is an ffmpeg filter chain. Errors: UsageError for a file that is not a video, or is damaged.
    """
    argv = [ffmpeg, "-v", "error", "-i", _url(video)]
    argv += ["-map", "0:v:0", "-fps_mode", "passthrough", *(("-vf", filters) if filters else ())]
    argv += ["-sws_flags", "accurate_rnd+full_chroma_int", "-c:v", "ppm", "-f", "image2pipe", "-"]
    # stderr goes to a file, as a full pipe would block ffmpeg.
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        assert process.stdout is not None
        try:
            yield from _read_ppm_frames(process.stdout)
            status = process.wait()
        finally:
            process.kill()
        stderr.seek(0)
        message = stderr.read().decode(errors="replace").strip()
        if status or message:
            raise UsageError(f"{video} cannot be read: {(message.splitlines() or ['not a video'])[0]}")


def _url(video: Path) -> str:
    """Return ffmpeg's URL of a video. Errors: UsageError for one that does not exist."""
    if video.is_file():
        return f"file:{video.absolute()}"
    pattern = FramePattern.parse(video.name)
    if pattern is None or not pattern.find(video.parent):
        raise UsageError(f"{video}: no such file")
    return pattern.ffmpeg_url(video.parent)


def count_frames(ffmpeg: str, video: Path) -> int:
    """Return a video's number of frames."""
    return sum(1 for _ in read_frames(ffmpeg, video, filters="scale=2:2"))


def _read_ppm_frames(pipe: IO[bytes]) -> Iterator[np.ndarray]:
    while magic := pipe.readline():
        assert magic == b"P6\n"
        width, height = map(int, pipe.readline().split())
        pipe.readline()
        data = pipe.read(width * height * 3)
        if len(data) == width * height * 3:
            yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
