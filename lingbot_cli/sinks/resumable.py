"""Resumable output of a video: a file or a stream, started over or appended to; image sequences have their own."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lingbot_cli.errors import OutputError, UsageError, write_errors
from lingbot_cli.files import check_folder, check_new, derived_path, follow_link
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.concat import ConcatEncoder, CutPoint, concat_args, remux
from lingbot_cli.sinks.encoding import Encoding
from lingbot_cli.sinks.ffmpeg_process import FfmpegProcess, StdoutFfmpegProcess
from lingbot_cli.sinks.output_paths import partial_name
from lingbot_cli.sinks.playlist import check_playlist, write_playlist
from lingbot_cli.sinks.resume_link import ResumeLink, lock_file
from lingbot_cli.ui.signals import check_stop

_PARTIAL_SOUND_TIMEOUT_S = 1.0  # after an interruption


class ResumableOutput:
    """Output of one video. `existing`: number of leading frames that it has from an earlier run.

    `resume_dir`: folder of the link by which a later run finds it again, None if it cannot.
    """

    restartable = True

    def __init__(self, encoding: Encoding, resume_dir: Path | None = None) -> None:
        self.existing = 0
        self._encoding = encoding
        self._resume_dir = resume_dir

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

    def commit(self, frames: int) -> None:
        """Give the complete video, of so many rendered frames, its final name."""
        raise NotImplementedError

    def abandon(self, frames: int) -> None:
        """Leave the partial video, of so many rendered frames, without files of no use."""
        raise NotImplementedError

    def _link(self, path: Path, video: VideoInfo) -> ResumeLink | None:
        """Return the link to an output, by a name that stays valid when the folder of both is moved."""
        if self._resume_dir is None:
            return None
        name = os.path.relpath(path, self._resume_dir)
        return ResumeLink(self._resume_dir, self._encoding.fingerprint(video, name))

    def _lock(self, path: Path) -> AbstractContextManager[BinaryIO | None]:
        """Lock the file of a resumable video; its encoder inherits the lock."""
        return nullcontext() if self._resume_dir is None else lock_file(path)


class ResumableFile(ResumableOutput):
    """File, written under a partial name until it is complete; of a symbolic link, its target.

    When resumed, a longer file begins with the existing packets and replaces the partial one once it has them all.
    """

    def __init__(self, path: Path, encoding: Encoding, resume_dir: Path | None, *, overwrite: bool) -> None:
        super().__init__(encoding, resume_dir)
        self._name = path
        self._path = follow_link(path)
        self._partial = partial_name(self._path)
        self._growing = self._partial  # the file that the encoder writes
        self._overwrite = overwrite
        self._resume_link: ResumeLink | None = None
        self._video: VideoInfo | None = None
        self._cut: CutPoint | None = None
        self._concat: ConcatEncoder | None = None  # until the longer file has replaced the partial one

    @property
    def partial(self) -> Path | None:
        return self._partial

    def find_existing(self, video: VideoInfo, limit: int) -> None:
        link = self._link(self._path, video)
        found = link.find() if link is not None else None
        if found is not None:
            file, valid = found
            limit = limit if valid is None else min(limit, valid)
            self._cut = self._encoding.find_cut_point(file, video, limit)
        self.existing = self._cut.frames if self._cut is not None else 0

    def check(self, video: VideoInfo) -> None:
        self._check_free()
        check_folder(self._path.parent)
        self._encoding.check(video, self._path.parent)

    def prepare(self, video: VideoInfo) -> None:
        self._video = video
        link = self._resume_link = self._link(self._path, video)
        if self._cut is not None:
            assert link is not None
            # The earlier run's file stays unchanged until the longer one has all its frames.
            self._cut = replace(self._cut, file=link.limit_frames(self.existing))
            self._growing = link.next_file
        with write_errors(self._growing):
            # An encoder that outlived its killed run may still have the old file open.
            self._growing.unlink(missing_ok=True)
            self._growing.write_bytes(b"")
        if self._cut is None and link is not None:
            link.remove()
            link.link(self._partial)

    def start(self, video: VideoInfo, metadata: str | None) -> FfmpegProcess | ConcatEncoder:
        encoding, url = self._encoding, f"file:{self._growing.absolute()}"
        with self._lock(self._growing) as lock:
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
            assert self._resume_link is not None
            with write_errors(self._partial):
                self._resume_link.link(self._growing)
                self._growing.replace(self._partial)
            self._concat = None

    def _check_free(self) -> None:
        if self._encoding.container.playlist:
            check_playlist(self._name, overwrite=self._overwrite)
        else:
            check_new(self._name, overwrite=self._overwrite)

    def commit(self, frames: int) -> None:
        assert self._video is not None
        video = replace(self._video, frames=frames)
        if self._encoding.container.playlist:
            self._check_free()
            write_playlist(
                self._encoding.ffmpeg, self._encoding.track_args(video, self._partial, None), self._path
            )
            self._partial.unlink(missing_ok=True)
            return
        tracks = self._encoding.audio is not None or (self._encoding.subtitle_track and bool(video.subtitles))
        if (tracks or self._encoding.container.muxer in ("mp4", "mov")) and not self._remux(video) and tracks:
            check_stop()
            raise OutputError(f"{self._name}: sound and subtitles could not be added")
        self._check_free()
        try:
            with self._partial.open("rb+") as written:
                os.fsync(written.fileno())
            self._partial.replace(self._path)
        except OSError as failure:
            raise OutputError(f"{self._path} could not be finished: {failure.strerror}") from failure

    def _remux(self, video: VideoInfo, timeout_s: float | None = None) -> bool:
        """Add the other tracks, and move the index of MP4 and MOV to its start; False where that cannot be done."""
        encoding = self._encoding
        copy = derived_path(self._partial, ".index", stem=f".{self._partial.name}")
        done = False
        with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(suffix=".srt") as file:
            file.write(video.subtitles.encode())
            file.flush()
            subtitles = Path(file.name) if encoding.subtitle_track and video.subtitles else None
            args = encoding.track_args(video, self._partial, subtitles)
            done = remux(encoding.ffmpeg, args, encoding.container.muxer, copy, timeout_s)
            if done:
                copy.replace(self._partial)
            copy.unlink(missing_ok=True)
        return done

    def abandon(self, frames: int) -> None:
        if self._concat is not None or not frames:
            self._growing.unlink(missing_ok=True)
        elif self._encoding.audio is not None and self._video is not None:
            # A later run finds the file without sound by its link.
            self._remux(replace(self._video, frames=frames, subtitles=""), _PARTIAL_SOUND_TIMEOUT_S)


class StreamOutput(ResumableOutput):
    """Standard output, a pipe, a device or an open descriptor: written into in order, never resumed.

    `open_stream` opens it when the encoder is about to start; `name` is for errors.
    """

    restartable = False

    def __init__(self, name: str, encoding: Encoding, open_stream: Callable[[], BinaryIO]) -> None:
        super().__init__(encoding)
        self._name = name
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

    def commit(self, frames: int) -> None:  # noqa: ARG002
        if self._stream is not None:
            self._stream.close()

    def abandon(self, frames: int) -> None:
        self.commit(frames)
