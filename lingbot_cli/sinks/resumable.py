"""How an output grows, from its first frame or from where an earlier run left it."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.concat import ConcatEncoder, CutPoint, concat_args
from lingbot_cli.sinks.encoding import Encoding
from lingbot_cli.sinks.ffmpeg_process import FfmpegProcess, StdoutFfmpegProcess
from lingbot_cli.sinks.output_paths import ImageSequence, OutputFile
from lingbot_cli.sinks.resume_link import ResumeLink, lock_file


class ResumableOutput(Protocol):
    """One output of a film while it is written. `kept`: how many first frames it has from an earlier run."""

    kept: int

    @property
    def partial(self) -> Path | None:
        """Where the unfinished film lies; None on a pipe."""

    def find(self, film: VideoInfo, limit: int) -> None:
        """See what an earlier run left of the film's first `limit` frames; without it there is nothing."""

    def check(self, film: VideoInfo) -> None:
        """Raise unless the output can be written and encoded here; nothing is changed."""

    def prepare(self, film: VideoInfo) -> None:
        """Clear away what is not to stay."""

    def start(self, film: VideoInfo, notes: str | None) -> FfmpegProcess | ConcatEncoder:
        """Start what takes the frames after the kept ones."""

    def advance(self) -> None:
        """More frames may have reached the output."""

    def commit(self) -> None:
        """Give the finished film its name."""

    def abandon(self, *, empty: bool) -> None:
        """Leave the film unfinished, without what is of no use; `empty`: it has no frame."""


class ResumableFile:
    """A file. It goes on as a longer one, which begins with its packets and takes its place once it has them."""

    def __init__(self, place: OutputFile, encoding: Encoding, keep: Path | None) -> None:
        self.kept = 0
        self.commit = place.commit
        self._place = place
        self._encoding = encoding
        self._keep = keep
        self._cut: CutPoint | None = None
        self._joint: ConcatEncoder | None = None  # until it has taken over

    @property
    def partial(self) -> Path | None:
        return self._place.partial if self._place.partial.exists() else None

    def find(self, film: VideoInfo, limit: int) -> None:
        kept = _resume_link(self._keep, self._place.path, self._encoding, film)
        found = kept.find() if kept is not None else None
        if found is not None:
            left, most = found
            self._cut = self._encoding.cut(left, film, limit if most is None else min(limit, most))
        self.kept = self._cut.frames if self._cut is not None else 0

    def check(self, film: VideoInfo) -> None:
        self._place.check()
        self._encoding.check(film, self._place.path.parent)

    def prepare(self, film: VideoInfo) -> None:
        self._place.kept = _resume_link(self._keep, self._place.path, self._encoding, film)
        if self._cut is None:
            self._place.prepare()
        else:
            self._cut = replace(self._cut, left=self._place.prepare_longer(self.kept))

    def start(self, film: VideoInfo, notes: str | None) -> FfmpegProcess | ConcatEncoder:
        encoding, url = self._encoding, self._place.url
        with _lock(self._keep, self._place.growing) as lock:
            if self._cut is None:
                return FfmpegProcess(partial(encoding.argv, film, url), notes=notes, holding=lock)
            join = partial(concat_args, encoding.ffmpeg, film, encoding.container, self._cut, url)
            segment = encoding.segment_argv(film)
            self._joint = ConcatEncoder(segment, join, kept=self.kept, notes=notes, holding=lock)
        return self._joint

    def advance(self) -> None:
        if self._joint is not None and self._joint.encoded > 0:
            self._place.take_over()
            self._joint = None

    def abandon(self, *, empty: bool) -> None:
        if self._joint is not None or empty:
            self._place.growing.unlink(missing_ok=True)


class ResumableSequence:
    """Numbered pictures: they go on at the next number."""

    def __init__(self, place: ImageSequence, encoding: Encoding, keep: Path | None) -> None:
        self.kept = 0
        self.commit = place.commit
        self.partial: Path | None = place.partial
        self._place = place
        self._encoding = encoding
        self._keep = keep

    def find(self, film: VideoInfo, limit: int) -> None:
        self._name(film)
        self.kept = self._place.whole(limit)

    def check(self, film: VideoInfo) -> None:
        self._place.check()
        self._encoding.check(film, self._place.folder.absolute().parent)

    def prepare(self, film: VideoInfo) -> None:
        self._name(film)
        self._place.prepare(self.kept)

    def start(self, film: VideoInfo, notes: str | None) -> FfmpegProcess | ConcatEncoder:
        argv = partial(self._encoding.argv, film, self._place.url, first=self.kept)
        with _lock(self._keep, self._place.mark) as lock:
            return FfmpegProcess(argv, notes=notes, holding=lock)

    def advance(self) -> None:
        return None

    def abandon(self, *, empty: bool) -> None:
        if empty:
            self._place.discard()

    def _name(self, film: VideoInfo) -> None:
        self._place.kept = _resume_link(self._keep, self._place.pattern, self._encoding, film)


class PipeOutput:
    """Standard output: nothing to name, nothing to keep."""

    kept = 0
    partial: Path | None = None

    def __init__(self, encoding: Encoding, stdout: BinaryIO) -> None:
        self._encoding = encoding
        self._stdout = stdout

    def find(self, film: VideoInfo, limit: int) -> None:  # noqa: ARG002
        return None

    def check(self, film: VideoInfo) -> None:
        self._encoding.check(film, None)

    def prepare(self, film: VideoInfo) -> None:  # noqa: ARG002
        return None

    def start(self, film: VideoInfo, notes: str | None) -> FfmpegProcess | ConcatEncoder:
        return StdoutFfmpegProcess(
            partial(self._encoding.argv, film, "pipe:1"), notes=notes, output=self._stdout
        )

    def advance(self) -> None:
        return None

    def commit(self) -> None:
        return None

    def abandon(self, *, empty: bool) -> None:  # noqa: ARG002
        return None


def _resume_link(keep: Path | None, path: Path, encoding: Encoding, film: VideoInfo) -> ResumeLink | None:
    """What finds the output again: a name that a folder's move does not change."""
    return None if keep is None else ResumeLink(keep, encoding.key(film, os.path.relpath(path, keep)))


def _lock(keep: Path | None, path: Path) -> AbstractContextManager[BinaryIO | None]:
    """What the encoder of a film that can be gone on with holds while it lives."""
    return nullcontext() if keep is None else lock_file(path)
