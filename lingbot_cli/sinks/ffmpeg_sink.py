"""Sink that encodes with ffmpeg, to a partial name until the video is complete."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from lingbot_cli.errors import LingbotError, OutputError
from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.sinks.concat import ConcatEncoder
from lingbot_cli.sinks.ffmetadata import metadata_text
from lingbot_cli.sinks.ffmpeg_process import FfmpegProcess
from lingbot_cli.sinks.rescale import UNSCALED, Rescale
from lingbot_cli.sinks.resumable import ResumableOutput

ENCODER_DELAY_FRAMES = 9  # x265 holds back most: with an unwritten fragment, less than a second
_ENCODE_TIMEOUT_S = 2.0  # for the frames written; long enough for an encoder that gets little CPU
_SHORT_ENCODE_TIMEOUT_S = 0.25  # after the first timeout: the encoder may hold back more frames for good
_ABORT_TIMEOUT_S = 1.0  # to finish the partial file after an interruption


class FfmpegSink(Sink):
    """Sink that feeds the encoder of `output`. `metadata`: whether the format has metadata and chapters.

    `rescale`: that of the encoder.
    """

    def __init__(
        self, name: str, output: ResumableOutput, *, metadata: bool, rescale: Rescale = UNSCALED
    ) -> None:
        self.name = name
        self._output = output
        self._metadata = metadata
        self._encoder: FfmpegProcess | ConcatEncoder | None = None
        self._prepared = False
        self._encode_timeout_s = _ENCODE_TIMEOUT_S
        self._rescale = rescale
        self._fps = Fraction(1)
        self._shape = (0, 0, 3)
        self._skip = 0  # coming frames that this output has already and other sinks lack
        self._written = 0

    @property
    def restartable(self) -> bool:
        return self._output.restartable

    def resumable_frames(self, video: VideoInfo, limit: int) -> dict[str, int]:
        self._output.find_existing(video, limit)
        return {self.name: self._output.existing}

    def preflight(self, video: VideoInfo) -> None:
        self._output.check(video)

    def open(self, video: VideoInfo) -> None:
        self.preflight(video)
        self._shape, self._fps = (video.height, video.width, 3), video.fps
        self._skip = self._output.existing - video.start_frame
        self._written = 0
        metadata = metadata_text(video) if self._metadata and (video.metadata or video.chapters) else None
        self._output.prepare(video)
        self._prepared = True
        self._encoder = self._output.start(video, metadata)

    @property
    def encoder(self) -> FfmpegProcess | ConcatEncoder:
        if self._encoder is None:
            raise RuntimeError("the sink is not open")
        return self._encoder

    def write(self, frames: np.ndarray) -> None:
        if frames.dtype != np.uint8 or frames.shape[1:] != self._shape:
            raise ValueError(f"frames are {frames.dtype} {frames.shape}, the video is uint8 {self._shape}")
        skipped = min(self._skip, len(frames))
        self._skip -= skipped
        with self._name_in_errors():
            self.encoder.write(frames[skipped:])
        self._written += len(frames) - skipped
        # Frames in pipes and queues are lost when the encoder is killed.
        due = self._due(self._written - ENCODER_DELAY_FRAMES)
        if not self.encoder.wait_encoded(due, self._encode_timeout_s):
            self._encode_timeout_s = _SHORT_ENCODE_TIMEOUT_S
        self._output.update()

    def check(self) -> None:
        with self._name_in_errors():
            self.encoder.check()
            self._output.update()

    def close(self) -> None:
        with self._name_in_errors():
            self.encoder.finish(timeout_s=None)
            if self.encoder.encoded < (due := self._due(self._written)):
                raise OutputError(f"{self.encoder.encoded} of {due} frames were encoded")
            self._output.update()
            self._output.commit(self._written + self._output.existing)

    def abort(self) -> str | None:
        if not self._prepared:
            return None
        if self._encoder is not None:
            with contextlib.suppress(LingbotError):
                self._encoder.finish(timeout_s=_ABORT_TIMEOUT_S)
            if not self._encoder.ended:  # its disk would hold this process, too
                return None if self._output.partial is None else str(self._output.partial)
        with contextlib.suppress(LingbotError):
            self._output.update()
        frames = self._written + self._output.existing
        with contextlib.suppress(OSError, LingbotError):
            self._output.abandon(frames)
        partial = self._output.partial
        return str(partial) if frames and partial is not None and partial.exists() else None

    def _due(self, written: int) -> int:
        """Return the number of encoded frames of a number of written ones."""
        return self._rescale.encoded_frames(written, self._fps)

    @contextlib.contextmanager
    def _name_in_errors(self) -> Iterator[None]:
        try:
            yield
        except OutputError as failure:
            raise type(failure)(f"{self.name}: {failure}", hint=failure.hint) from failure
