"""A film that goes on: the packets of what is there, then those of a new segment, neither encoded again."""

import base64
import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lingbot_cli.errors import OutputError
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.ffmpeg_args import metadata_input
from lingbot_cli.sinks.ffmpeg_process import FfmpegProcess
from lingbot_cli.sinks.formats import Format

_CORRUPT_FLAG = 2  # ffmpeg's mark of a packet that the end of the file cut short


@dataclass(frozen=True)
class CutPoint:
    """After the first `frames` frames of the file `left`: each of them is whole, and none shown later precedes them.

    `end`: when the first packet that is left out would be decoded, in seconds of the file's own clock.
    `delay`: how many frames decoding is ahead of showing.
    """

    left: Path
    frames: int
    end: Fraction = Fraction(0)
    delay: int = 0


@dataclass(frozen=True)
class Packet:
    """When a frame is decoded and shown, in seconds, and whether all of it is there."""

    decoded: Fraction
    shown: Fraction
    whole: bool


def read_packets(ffmpeg: str, path: Path) -> list[Packet]:
    """The packets of a film as far as it can be read, in the order of decoding; nothing is decoded."""
    asked = [ffmpeg, "-v", "quiet", "-copyts", "-i", f"file:{path.absolute()}", "-map", "0:v", "-c", "copy"]
    said = subprocess.run(
        [*asked, "-f", "framecrc", "-"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    ).stdout
    base = re.search(r"^#tb 0: (\d+/\d+)$", said, re.M)
    if base is None:
        return []
    tick = Fraction(base[1])
    return [_packet(line, tick) for line in said.splitlines() if not line.startswith("#")]


def _packet(line: str, tick: Fraction) -> Packet:
    # stream, decoding time, showing time, duration, bytes, checksum, and flags where they are unusual
    fields = [field.strip() for field in line.split(",")]
    flags = next((int(field[2:], 16) for field in fields[6:] if field.startswith("F=")), 0)
    return Packet(int(fields[1]) * tick, int(fields[2]) * tick, not flags & _CORRUPT_FLAG)


def find_cut_point(left: Path, packets: list[Packet], fps: Fraction, limit: int) -> CutPoint | None:
    """The last place to cut a film within its first `limit` frames; None when there is none.

    A place is good when the packets before it are exactly the frames before it, so that nothing waits for a
    frame that comes later. The very last packet is left out: reading beyond it may meet a torn end.
    """
    best, latest = 0, -1
    first = min((packet.shown for packet in packets), default=Fraction(0))
    for count, packet in enumerate(packets[:-1], start=1):
        if not packet.whole or count > limit:
            break
        latest = max(latest, round((packet.shown - first) * fps))
        if latest == count - 1:
            best = count
    if not best:
        return None
    delay = round((packets[0].shown - packets[0].decoded) * fps)
    return CutPoint(left, best, packets[best].decoded, delay)


# What comes by the pipe is known; to wait for more of it would be lost in a crash.
_AT_ONCE = ("option analyzeduration 1", "option fpsprobesize 0")
_EXIT_TIMEOUT_S = 2.0  # seconds one ffmpeg gets to end after the other
_CONCAT_DELAY_FRAMES = 2  # frames the second holds back, beside what the first does


def concat_args(
    ffmpeg: str, film: VideoInfo, container: Format, cut: CutPoint, url: str, metadata_fd: int | None
) -> list[str]:
    """Return the command that copies what was cut, then the segment on its standard input, to `url`."""
    notes, video, told = metadata_input(metadata_fd)
    script = base64.b64encode(_concat_script(film, cut).encode()).decode()
    return [
        # Unasked, ffmpeg would read the keys of a terminal where the segment comes.
        *(ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "warning", "-y"),
        *("-progress", "pipe:2", "-stats_period", "0.05"),
        *notes,
        *("-f", "concat", "-safe", "0", "-auto_convert", "0", "-protocol_whitelist", "data,file,pipe"),
        *("-i", f"data:text/plain;base64,{script}"),
        *("-map", f"{video}:v", *told, "-c", "copy"),
        *("-bsf:v", _timestamp_filter(film.fps, cut.delay)),
        *container.args,
        *("-f", container.muxer, url),
    ]


def _concat_script(film: VideoInfo, cut: CutPoint) -> str:
    """What ffmpeg's concat demuxer reads."""
    path = str(cut.left.absolute()).replace("'", "'\\''")
    lines = [
        "ffconcat version 1.0",
        f"file 'file:{path}'",
        f"outpoint {float(cut.end):.6f}",
        f"duration {float(cut.frames / film.fps):.6f}",
        "file 'pipe:0'",
        *_AT_ONCE,
    ]
    return "\n".join(lines) + "\n"


def _timestamp_filter(fps: Fraction, delay: int) -> str:
    """Give every frame the time that it has in a film made in one go, not two rounded ones added."""
    rate = f"{fps.numerator}/{fps.denominator}"
    shown = f"round(round(PTS*TB*{rate})/({rate})/TB)"
    return f"setts=pts={shown}:dts=round((N-{delay})/({rate})/TB):duration=round(1/({rate})/TB)"


class ConcatEncoder:
    """An Encoder whose packets a second ffmpeg puts after the first `kept` frames of the film."""

    def __init__(
        self,
        encode: Sequence[str],
        join: Callable[[int | None], list[str]],
        *,
        kept: int,
        notes: str | None,
        holding: BinaryIO | None,
    ) -> None:
        self._kept = kept
        self._join = FfmpegProcess(join, notes=notes, holding=holding)
        try:
            self._encode = FfmpegProcess(lambda _: list(encode), output=self._join.input)
        except BaseException:
            self._join.stop()
            raise
        self._join.input.close()

    @property
    def encoded(self) -> int:
        """How many new frames have reached the film; below 0 while the kept ones are being copied."""
        return self._join.encoded - self._kept

    def write(self, frames: np.ndarray) -> None:
        with self._blaming():
            self._encode.write(frames)

    def settle(self, frames: int, timeout: float) -> bool:
        return self._join.settle(self._kept + frames - _CONCAT_DELAY_FRAMES, timeout)

    def check(self) -> None:
        with self._blaming():
            self._encode.check()
        self._join.check()

    def finish(self, timeout: float | None) -> None:
        with self._blaming():
            self._encode.finish(timeout)
        self._join.finish(timeout)

    @contextlib.contextmanager
    def _blaming(self) -> Iterator[None]:
        """When the encoder fails, end both; the failure is the second ffmpeg's when that failed first."""
        try:
            yield
        except OutputError:
            self._encode.stop()
            if self._join.ends_within(_EXIT_TIMEOUT_S):
                self._join.finish(timeout=None)
            self._join.stop()
            raise
