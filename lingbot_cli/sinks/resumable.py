"""Resumable output of a video: a file, an image sequence or a stream, started over or appended to."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lingbot_cli.errors import OutputError, UsageError
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.concat import ConcatEncoder, CutPoint, concat_args
from lingbot_cli.sinks.encoding import Encoding
from lingbot_cli.sinks.ffmpeg_process import FfmpegProcess, StdoutFfmpegProcess
from lingbot_cli.sinks.output_paths import ImageSequence, OutputFile
from lingbot_cli.sinks.resume_link import ResumeLink, lock_file


class ResumableOutput:
    """Output of one video. `existing`: number of leading frames that it has from an earlier run."""

    existing = 0

    @property
    def partial(self) -> Path | None:
        """Path of the unfinished video, None for a stream."""
        return None

    def find_existing(self, video: VideoInfo, limit: int) -> None:
        """Set `existing` to the frames of an earlier run, at most `limit`; without this call it is 0."""

    def check(self, video: VideoInfo) -> None:
        """Raise unless the video can be encoded and written; nothing is changed."""
        raise NotImplementedError

    def prepare(self, video: VideoInfo) -> None:
        """Remove what is not to stay of an earlier run."""
        raise NotImplementedError

    def start(self, video: VideoInfo, metadata: str | None) -> FfmpegProcess | ConcatEncoder:
        """Start the encoder of the frames after the existing ones."""
        raise NotImplementedError

    def update(self) -> None:
        """React to newly encoded frames."""

    def commit(self) -> None:
        """Give the complete video its final name."""
        raise NotImplementedError

    def abandon(self, *, empty: bool) -> None:
        """Leave the partial video, without files of no use; `empty`: it has no frame."""
        raise NotImplementedError


class ResumableFile(ResumableOutput):
    """File. When resumed, a longer one begins with the existing packets and replaces it once it has them all."""

    def __init__(self, file: OutputFile, encoding: Encoding, resume_dir: Path | None) -> None:
        self._file = file
        self._encoding = encoding
        self._resume_dir = resume_dir
        self._cut: CutPoint | None = None
        self._concat: ConcatEncoder | None = None  # until the longer file has replaced the partial one

    @property
    def partial(self) -> Path | None:
        return self._file.partial if self._file.partial.exists() else None

    def find_existing(self, video: VideoInfo, limit: int) -> None:
        link = _resume_link(self._resume_dir, self._file.path, self._encoding, video)
        found = link.find() if link is not None else None
        if found is not None:
            file, valid = found
            limit = limit if valid is None else min(limit, valid)
            self._cut = self._encoding.find_cut_point(file, video, limit)
        self.existing = self._cut.frames if self._cut is not None else 0

    def check(self, video: VideoInfo) -> None:
        self._file.check()
        self._encoding.check(video, self._file.path.parent)

    def prepare(self, video: VideoInfo) -> None:
        self._file.link = _resume_link(self._resume_dir, self._file.path, self._encoding, video)
        if self._cut is None:
            self._file.start_over()
        else:
            self._cut = replace(self._cut, file=self._file.resume(self.existing))

    def start(self, video: VideoInfo, metadata: str | None) -> FfmpegProcess | ConcatEncoder:
        encoding, url = self._encoding, self._file.url
        with _lock(self._resume_dir, self._file.growing) as lock:
            if self._cut is None:
                return FfmpegProcess(partial(encoding.args, video, url), metadata=metadata, lock=lock)
            self._concat = ConcatEncoder(
                encoding.segment_args(video),
                partial(concat_args, encoding.ffmpeg, video, encoding.container, self._cut, url),
                existing=self.existing,
                metadata=metadata,
                lock=lock,
            )
        return self._concat

    def update(self) -> None:
        if self._concat is not None and self._concat.encoded > 0:
            self._file.replace_partial()
            self._concat = None

    def commit(self) -> None:
        if self._encoding.container.muxer == "mp4":
            self._file.put_index_first(self._encoding.ffmpeg)
        self._file.commit()

    def abandon(self, *, empty: bool) -> None:
        if self._concat is not None or empty:
            self._file.growing.unlink(missing_ok=True)


class ResumableSequence(ResumableOutput):
    """Image sequence, resumed at the next number."""

    def __init__(self, sequence: ImageSequence, encoding: Encoding, resume_dir: Path | None) -> None:
        self._sequence = sequence
        self._encoding = encoding
        self._resume_dir = resume_dir

    @property
    def partial(self) -> Path | None:
        return self._sequence.partial

    def find_existing(self, video: VideoInfo, limit: int) -> None:
        self._set_link(video)
        self.existing = self._sequence.count_images(limit)

    def check(self, video: VideoInfo) -> None:
        self._sequence.check(video.frames)
        self._encoding.check(video, self._sequence.folder.absolute().parent)

    def prepare(self, video: VideoInfo) -> None:
        self._set_link(video)
        self._sequence.prepare(self.existing)

    def start(self, video: VideoInfo, metadata: str | None) -> FfmpegProcess | ConcatEncoder:
        command = partial(self._encoding.args, video, self._sequence.url, first=self.existing)
        with _lock(self._resume_dir, self._sequence.marker) as lock:
            return FfmpegProcess(command, metadata=metadata, lock=lock)

    def commit(self) -> None:
        self._sequence.commit()

    def abandon(self, *, empty: bool) -> None:
        if empty:
            self._sequence.discard()

    def _set_link(self, video: VideoInfo) -> None:
        self._sequence.link = _resume_link(self._resume_dir, self._sequence.pattern, self._encoding, video)


class StreamOutput(ResumableOutput):
    """Standard output, a pipe, a device or an open descriptor: written into in order, never resumed.

    `open_stream` opens it when the encoder is about to start; `name` is for errors.
    """

    def __init__(self, name: str, encoding: Encoding, open_stream: Callable[[], BinaryIO]) -> None:
        self._name = name
        self._encoding = encoding
        self._open_stream = open_stream
        self._stream: BinaryIO | None = None

    def check(self, video: VideoInfo) -> None:
        self._encoding.check(video, None)

    def prepare(self, video: VideoInfo) -> None:  # noqa: ARG002
        try:
            self._stream = self._open_stream()
        except OSError as failure:
            raise OutputError(f"{self._name} cannot be written: {failure.strerror}") from failure
        if self._stream.isatty():
            raise UsageError(
                f"-o {self._name}: a terminal shows no video",
                hint="write to a file, or pipe it into a player",
            )

    def start(self, video: VideoInfo, metadata: str | None) -> FfmpegProcess | ConcatEncoder:
        assert self._stream is not None, "the stream is not open"
        command = partial(self._encoding.args, video, "pipe:1")
        return StdoutFfmpegProcess(command, metadata=metadata, output=self._stream)

    def commit(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def abandon(self, *, empty: bool) -> None:  # noqa: ARG002
        self.commit()


def _resume_link(
    resume_dir: Path | None, path: Path, encoding: Encoding, video: VideoInfo
) -> ResumeLink | None:
    """Return the link to an output, by a name that stays valid when the folder of both is moved."""
    if resume_dir is None:
        return None
    return ResumeLink(resume_dir, encoding.fingerprint(video, os.path.relpath(path, resume_dir)))


def _lock(resume_dir: Path | None, path: Path) -> AbstractContextManager[BinaryIO | None]:
    """Lock the file of a resumable video; its encoder inherits the lock."""
    return nullcontext() if resume_dir is None else lock_file(path)
