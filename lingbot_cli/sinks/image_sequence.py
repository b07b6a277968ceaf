"""Image sequence, written to a folder of its own until it is complete, and resumed at the next number."""

from functools import partial
from itertools import count
from pathlib import Path

from lingbot_cli.errors import OutputError, UsageError, write_errors
from lingbot_cli.files import check_folder, check_name, check_new, follow_link
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.concat import ConcatEncoder
from lingbot_cli.sinks.encoding import Encoding
from lingbot_cli.sinks.ffmpeg_process import FfmpegProcess
from lingbot_cli.sinks.frame_pattern import FramePattern
from lingbot_cli.sinks.output_paths import sequence_folder
from lingbot_cli.sinks.resumable import ResumableOutput


class ResumableSequence(ResumableOutput):
    """Numbered images, written to a folder of their own: a/%05d.png → a.partial/.

    A later run finds `marker`, an empty file in that folder, again.
    """

    def __init__(
        self, pattern: Path, encoding: Encoding, resume_dir: Path | None, *, overwrite: bool
    ) -> None:
        super().__init__(encoding, resume_dir)
        names = FramePattern.parse(pattern.name)
        if names is None:
            raise UsageError(
                f"-o {pattern}: an image sequence needs one number in its file name",
                hint=f"use a name such as {pattern.parent / ('%05d' + pattern.suffix)}",
            )
        self._pattern = pattern
        self._folder = follow_link(pattern.parent)
        self._overwrite = overwrite
        self._partial = sequence_folder(pattern, "partial")
        earlier = self._partial / ".film"  # the marker of earlier versions
        self._marker = earlier if earlier.exists() else self._partial / ".video"
        self._names = names
        self._partial_names = names.for_writing(self._folder.absolute().parent)

    @property
    def partial(self) -> Path | None:
        return self._partial

    def find_existing(self, video: VideoInfo, limit: int) -> None:
        link = self._link(self._pattern, video)
        found = link.find() if link is not None else None
        self.existing = 0
        if (
            self._encoding.rescale.fps is None
            and found is not None
            and self._marker.exists()
            and self._marker.samefile(found[0])
        ):
            images = self._partial_names.find(self._partial)
            self.existing = min(limit, next(number for number in count() if number not in images))

    def check(self, video: VideoInfo) -> None:
        check_name(
            self._folder / self._names.name(max(0, (self._encoding.rescale.applied(video).frames or 1) - 1))
        )
        check_folder(self._folder.absolute().parent)
        if self._folder.exists():
            check_folder(self._folder)
        for image in self._names.find(self._folder).values():
            check_new(image, overwrite=self._overwrite)
        self._encoding.check(video, self._folder.absolute().parent)

    def prepare(self, video: VideoInfo) -> None:
        link, first = self._link(self._pattern, video), self.existing
        with write_errors(self._partial):
            self._partial.mkdir(exist_ok=True)
            for number, image in self._partial_names.find(self._partial).items():
                if number >= first:
                    image.unlink()
            if not first:
                self._marker.unlink(missing_ok=True)
            if link is not None:
                self._marker.touch()
        if link is not None and not first:
            link.remove()
            link.link(self._marker)

    def start(self, video: VideoInfo, metadata: str | None) -> FfmpegProcess | ConcatEncoder:
        url = self._partial_names.ffmpeg_url(self._partial)
        command = partial(self._encoding.args, video, url, first=self.existing)
        with self._lock(self._marker) as lock:
            return FfmpegProcess(command, metadata=metadata, lock=lock)

    def commit(self, frames: int) -> None:  # noqa: ARG002
        try:
            self._marker.unlink(missing_ok=True)
            if not self._folder.exists() and self._partial_names == self._names:
                self._partial.replace(self._folder)
                return
            self._folder.mkdir(exist_ok=True)
            for image in self._names.find(self._folder).values():
                image.unlink()
            for number, image in self._partial_names.find(self._partial).items():
                image.replace(self._folder / self._names.name(number))
            self._partial.rmdir()
        except OSError as failure:
            raise OutputError(f"{self._pattern} could not be finished: {failure.strerror}") from failure

    def abandon(self, frames: int) -> None:
        if not frames:
            self._marker.unlink(missing_ok=True)
            self._partial.rmdir()
