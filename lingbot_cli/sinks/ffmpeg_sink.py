"""A sink that encodes with ffmpeg, under a partial name until the film is whole."""

import contextlib

import numpy as np

from lingbot_cli.errors import LingbotError, OutputError
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.concat import ConcatEncoder
from lingbot_cli.sinks.ffmetadata import metadata_text
from lingbot_cli.sinks.ffmpeg_process import FfmpegProcess
from lingbot_cli.sinks.resumable import ResumableOutput

ENCODER_DELAY_FRAMES = 9  # x265 holds back most: with an unwritten fragment, less than a second
_ENCODE_TIMEOUT_S = 2.0  # for the frames written; long enough for an encoder that gets little CPU
_SHORT_ENCODE_TIMEOUT_S = 0.25  # after the first timeout: the encoder may hold back more frames for good
_ABORT_TIMEOUT_S = 1.5  # to finish the partial file after an interruption


class FfmpegSink:
    """Feeds what `growth` starts. `tells`: whether the film carries metadata and chapters."""

    def __init__(self, name: str, growth: ResumableOutput, *, tells: bool) -> None:
        self.name = name
        self._growth = growth
        self._tells = tells
        self._encoder: FfmpegProcess | ConcatEncoder | None = None
        self._begun = False
        self._settling = _ENCODE_TIMEOUT_S
        self._shape = (0, 0, 3)
        self._skip = 0  # frames that come for other sinks, and are here already
        self._written = 0

    def resumable_frames(self, film: VideoInfo, limit: int) -> dict[str, int]:
        self._growth.find(film, limit)
        return {self.name: self._growth.kept}

    def preflight(self, film: VideoInfo) -> None:
        self._growth.check(film)

    def open(self, film: VideoInfo) -> None:
        self.preflight(film)
        self._shape = (film.height, film.width, 3)
        self._skip = self._growth.kept - film.kept
        self._written = 0
        notes = metadata_text(film) if self._tells and (film.metadata or film.chapters) else None
        self._growth.prepare(film)
        self._begun = True
        self._encoder = self._growth.start(film, notes)

    @property
    def encoder(self) -> FfmpegProcess | ConcatEncoder:
        if self._encoder is None:
            raise RuntimeError("the sink is not open")
        return self._encoder

    def write(self, frames: np.ndarray) -> None:
        if frames.dtype != np.uint8 or frames.shape[1:] != self._shape:
            raise ValueError(f"frames are {frames.dtype} {frames.shape}, the film is uint8 {self._shape}")
        there = min(self._skip, len(frames))
        self._skip -= there
        with self._naming_the_film():
            self.encoder.write(frames[there:])
        self._written += len(frames) - there
        # What lies in pipes and queues is lost when the encoder is killed.
        if not self.encoder.settle(self._written - ENCODER_DELAY_FRAMES, self._settling):
            self._settling = _SHORT_ENCODE_TIMEOUT_S
        self._growth.advance()

    def check(self) -> None:
        with self._naming_the_film():
            self.encoder.check()
            self._growth.advance()

    def close(self) -> None:
        with self._naming_the_film():
            self.encoder.finish(timeout=None)
            if self.encoder.encoded != self._written:
                raise OutputError(f"{self.encoder.encoded} of {self._written} frames were encoded")
            self._growth.advance()
            self._growth.commit()

    def abort(self) -> str | None:
        if not self._begun:
            return None
        if self._encoder is not None:
            with contextlib.suppress(LingbotError):
                self._encoder.finish(timeout=_ABORT_TIMEOUT_S)
        with contextlib.suppress(LingbotError):
            self._growth.advance()
        empty = self._written == 0 and self._growth.kept == 0
        with contextlib.suppress(OSError):
            self._growth.abandon(empty=empty)
        return None if empty or self._growth.partial is None else str(self._growth.partial)

    @contextlib.contextmanager
    def _naming_the_film(self):  # type: ignore[no-untyped-def]
        try:
            yield
        except OutputError as failure:
            raise OutputError(f"{self.name}: {failure}", hint=failure.hint) from failure
