"""Copies of a video without encoding: new frames appended (ffmpeg concat demuxer), or the index put first."""

import base64
import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lingbot_cli.errors import OutputError
from lingbot_cli.operating_system import set_blocking
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.ffmpeg_args import metadata_input
from lingbot_cli.sinks.ffmpeg_process import STALL_TIMEOUT_S, FfmpegProcess
from lingbot_cli.sinks.formats import Format
from lingbot_cli.ui.signals import stop_requested

_CORRUPT_FLAG = 2  # AV_PKT_FLAG_CORRUPT: a packet cut short by the end of the file
_EXIT_TIMEOUT_S = 1.0  # for one ffmpeg to exit after the other
_REMUX_POLL_INTERVAL_S = 0.1
_CONCAT_DELAY_FRAMES = 2  # held back by the concatenating ffmpeg, in addition to the encoder's delay


@dataclass(frozen=True)
class CutPoint:
    """End of the first `frames` frames of `file`, all complete, none shown after a later frame.

    `end`: decoding time of the first packet that is left out, in seconds of the file's own clock. `delay`: number
    of frames by which decoding precedes display.
    """

    file: Path
    frames: int
    end: Fraction = Fraction(0)
    delay: int = 0


@dataclass(frozen=True)
class Packet:
    """Decoding and display time of a frame, in seconds, and whether its data is complete."""

    decoded: Fraction
    shown: Fraction
    complete: bool


def read_packets(ffmpeg: str, path: Path) -> list[Packet]:
    """Return the video packets of a file as far as it is readable, in decoding order, without decoding them."""
    command = [ffmpeg, "-v", "quiet", "-copyts", "-i", f"file:{path.absolute()}", "-map", "0:v", "-c", "copy"]
    output = subprocess.run(
        [*command, "-f", "framecrc", "-"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    ).stdout
    base = re.search(r"^#tb 0: (\d+/\d+)$", output, re.M)
    if base is None:
        return []
    time_base = Fraction(base[1])
    return [_packet(line, time_base) for line in output.splitlines() if not line.startswith("#")]


def _packet(line: str, time_base: Fraction) -> Packet:
    # stream, decoding time, display time, duration, bytes, checksum, and flags where they are unusual
    fields = [field.strip() for field in line.split(",")]
    flags = next((int(field[2:], 16) for field in fields[6:] if field.startswith("F=")), 0)
    return Packet(int(fields[1]) * time_base, int(fields[2]) * time_base, not flags & _CORRUPT_FLAG)


def find_cut_point(file: Path, packets: list[Packet], fps: Fraction, limit: int) -> CutPoint | None:
    """Return the last cut point within the first `limit` frames of a file, None if there is none.

    The packets before a cut point are exactly the frames before it, so no decoder waits for a later frame. The very
    last packet is left out: reading beyond it may meet an incomplete end.
    """
    best, latest = 0, -1
    first = min((packet.shown for packet in packets), default=Fraction(0))
    for count, packet in enumerate(packets[:-1], start=1):
        if not packet.complete or count > limit:
            break
        latest = max(latest, round((packet.shown - first) * fps))
        if latest == count - 1:
            best = count
    if not best:
        return None
    delay = round((packets[0].shown - packets[0].decoded) * fps)
    return CutPoint(file, best, packets[best].decoded, delay)


def concat_args(
    ffmpeg: str, video: VideoInfo, container: Format, cut: CutPoint, url: str, metadata_url: str | None
) -> list[str]:
    """Return the command that copies the frames before `cut`, then the segment on standard input, to `url`."""
    metadata, frames_input, metadata_map = metadata_input(metadata_url)
    script = base64.b64encode(_concat_script(video, cut).encode()).decode()
    # Without -nostdin, ffmpeg would read its keyboard commands from the segment.
    args = [ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "warning", "-y"]
    args += ["-progress", "pipe:2", "-stats_period", "0.05"]
    args += metadata
    args += ["-f", "concat", "-safe", "0", "-auto_convert", "0", "-protocol_whitelist", "data,file,pipe"]
    args += ["-i", f"data:text/plain;base64,{script}"]
    args += ["-map", f"{frames_input}:v", *metadata_map, "-c", "copy"]
    args += ["-bsf:v", _timestamp_filter(video.fps, cut.delay)]
    args += container.args
    return [*args, "-f", container.muxer, url]


def _concat_script(video: VideoInfo, cut: CutPoint) -> str:
    path = str(cut.file.absolute()).replace("'", "'\\''")
    lines = [
        "ffconcat version 1.0",
        f"file 'file:{path}'",
        f"outpoint {float(cut.end):.6f}",
        f"duration {float(cut.frames / video.fps):.6f}",
        "file 'pipe:0'",
        # The stream is known: packets that probing waits for would be lost in a crash.
        "option analyzeduration 1",
        "option fpsprobesize 0",
    ]
    return "\n".join(lines) + "\n"


def _timestamp_filter(fps: Fraction, delay: int) -> str:
    """Return a filter that gives every frame its time in an uninterrupted video, without a sum of rounded times."""
    rate = f"{fps.numerator}/{fps.denominator}"
    shown = f"round(round(PTS*TB*{rate})/({rate})/TB)"
    return f"setts=pts={shown}:dts=round((N-{delay})/({rate})/TB):duration=round(1/({rate})/TB)"


class ConcatEncoder:
    """Encoder whose packets a second ffmpeg appends to the first `existing` frames of the video.

    It has the methods of FfmpegProcess; `encode` and `concat` are the two commands.
    """

    def __init__(
        self,
        encode: Sequence[str],
        concat: Callable[[str | None], list[str]],
        *,
        existing: int,
        metadata: str | None,
        lock: BinaryIO | None,
    ) -> None:
        self._existing = existing
        self._concat = FfmpegProcess(concat, metadata=metadata, lock=lock)
        set_blocking(self._concat.input.fileno(), True)  # the encoder writes to it
        try:
            self._encode = FfmpegProcess(lambda _: list(encode), output=self._concat.input)
        except BaseException:
            self._concat.stop()
            raise
        self._concat.input.close()

    @property
    def encoded(self) -> int:
        """Number of new frames in the video; negative while the existing ones are being copied."""
        return self._concat.encoded - self._existing

    @property
    def ended(self) -> bool:
        return self._encode.ended and self._concat.ended

    def write(self, frames: np.ndarray) -> None:
        with self._stop_on_failure():
            self._encode.write(frames)

    def wait_encoded(self, frames: int, timeout_s: float) -> bool:
        due = self._existing + frames - _CONCAT_DELAY_FRAMES
        return self._concat.wait_encoded(due, timeout_s, source=self._encode)

    def check(self) -> None:
        with self._stop_on_failure():
            self._encode.check()
        self._concat.check()

    def finish(self, timeout_s: float | None) -> None:
        with self._stop_on_failure():
            self._encode.finish(timeout_s)
        self._concat.finish(timeout_s)

    @contextlib.contextmanager
    def _stop_on_failure(self) -> Iterator[None]:
        """Stop both processes when the encoder fails; raise the error of the second one if that failed first."""
        try:
            yield
        except OutputError:
            self._encode.stop()
            if self._concat.wait_exit(_EXIT_TIMEOUT_S):
                self._concat.finish(timeout_s=None)
            self._concat.stop()
            raise


def remux_args(ffmpeg: str, tracks: Sequence[str], muxer: str, target: Path) -> list[str]:
    """Return the command that writes a file or playlist of `tracks`, an MP4 or MOV with its index first."""
    index = ("-movflags", "+faststart+use_metadata_tags") if muxer in ("mp4", "mov") else ()
    args = [ffmpeg, "-nostdin", "-v", "error", "-y", *tracks, *index]
    return [*args, "-f", muxer, f"file:{target.absolute()}"]


def remux(
    ffmpeg: str, tracks: Sequence[str], muxer: str, target: Path, timeout_s: float | None = None
) -> bool:
    """Write a file of `tracks`, or a playlist in a folder of its own.

    Return False where ffmpeg, a full or slow disk or a signal prevents it; a `timeout_s` replaces the signal. Errors:
    OutputError for a disk that hangs.
    """
    child = subprocess.Popen(
        remux_args(ffmpeg, tracks, muxer, target),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=target.parent,
        start_new_session=True,
    )
    size, changed_at = 0, (began := time.monotonic())
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(_REMUX_POLL_INTERVAL_S) == 0
            files = target.parent.iterdir() if muxer == "hls" else [target]
            now = sum(file.stat().st_size for file in files if file.exists())
            if now != size:
                size, changed_at = now, time.monotonic()
            stopped = stop_requested() if timeout_s is None else time.monotonic() - began > timeout_s
            if stopped or time.monotonic() - changed_at > STALL_TIMEOUT_S:
                return False
    finally:
        child.kill()
        try:
            child.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:  # this process would not get an answer either
            raise OutputError(
                f"{target.parent}: the disk has not answered for {STALL_TIMEOUT_S:g} s"
            ) from None
