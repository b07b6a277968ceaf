"""Reads films back, frame by frame, with the ffmpeg that wrote them."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from lingbot_cli.errors import UsageError


def read_frames(ffmpeg: str, film: Path, *, filters: str | None = None) -> Iterator[np.ndarray]:
    """Every frame of a film or of a numbered sequence (`%05d.png`), uint8 RGB [H, W, 3].

    `filters` is an ffmpeg filter chain to pass through. UsageError when it is no film, or ends damaged.
    """
    if "%" not in film.name and not film.is_file():
        raise UsageError(f"{film}: no such file")
    asked = [ffmpeg, "-v", "error", "-i", f"file:{film.absolute()}" if "%" not in film.name else str(film)]
    asked += ["-map", "0:v:0", "-fps_mode", "passthrough", *(("-vf", filters) if filters else ())]
    asked += ["-sws_flags", "accurate_rnd+full_chroma_int", "-c:v", "ppm", "-f", "image2pipe", "-"]
    # Its words go to a file: nobody reads them while it works.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(asked, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as reader,
    ):
        assert reader.stdout is not None
        try:
            yield from _read_ppm_frames(reader.stdout)
            ended = reader.wait()
        finally:
            reader.kill()
        said.seek(0)
        words = said.read().decode(errors="replace").strip()
        if ended or words:
            raise UsageError(f"{film} cannot be read: {(words.splitlines() or ['it is no film'])[0]}")


def count_frames(ffmpeg: str, film: Path) -> int:
    """How many frames a film has."""
    return sum(1 for _ in read_frames(ffmpeg, film, filters="scale=2:2"))


def _read_ppm_frames(pipe: IO[bytes]) -> Iterator[np.ndarray]:
    """Binary PPM pictures one after the other."""
    while magic := pipe.readline():
        assert magic == b"P6\n"
        width, height = map(int, pipe.readline().split())
        pipe.readline()
        data = pipe.read(width * height * 3)
        if len(data) == width * height * 3:
            yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
