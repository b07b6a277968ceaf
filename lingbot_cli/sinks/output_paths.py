"""Output file and image sequence: written under a partial name, renamed when complete."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path

from lingbot_cli.errors import OutputError, UsageError, write_errors
from lingbot_cli.files import check_folder, check_name, check_new, derived_path, find_stream, follow_link
from lingbot_cli.sinks.concat import write_index_first
from lingbot_cli.sinks.formats import is_sequence
from lingbot_cli.sinks.frame_pattern import FramePattern
from lingbot_cli.sinks.resume_link import ResumeLink


def partial_name(path: Path) -> Path:
    """Return the name of an incomplete video: film.mp4 → film.partial.mp4."""
    return derived_path(path, f".partial{path.suffix}", stem=path.stem)


def copy_name(target: str, suffix: str) -> str:
    """Return the name of another version of an output: a.mp4 → a.SUFFIX.mp4, a/%05d.png → a.SUFFIX/%05d.png."""
    path = Path(target)
    if is_sequence(target):
        return str(_sibling_folder(path.parent, "", suffix) / path.name)
    return str(derived_path(path, f".{suffix}{path.suffix}", stem=path.stem))


def _sibling_folder(folder: Path, text: str, suffix: str) -> Path:
    """Return frames.TEXT.SUFFIX for frames/, also for a sequence in the working directory."""
    folder = folder if folder.name else Path("frames")
    return derived_path(folder, f".{suffix}", stem=f"{folder.name}.{text}" if text else folder.name)


def sequence_folder(target: Path, suffix: str) -> Path:
    """Return a folder for an image sequence's own use: a/%05d.png → a.SUFFIX, a/left-%05d.png → a.left.SUFFIX."""
    names = FramePattern.parse(target.name)
    text = names.before.strip(" .-_") if names is not None else ""
    return _sibling_folder(follow_link(target.parent), text, suffix)


def is_partial_name(target: str) -> bool:
    """Return whether a name is one that `partial_name` or `sequence_folder` gives to an incomplete output."""
    path = Path(target)
    stem = path.absolute().parent.name if is_sequence(target) else path.stem
    return stem.lower().endswith(".partial")


def sequence_names(targets: Sequence[str], folder: Path, count: int) -> list[str] | None:
    """Return the names, as seen from `folder`, of `count` frames in the first image sequence of `targets`.

    None without a sequence. Images are numbered from 0.
    """
    for target in map(Path, targets):
        pattern = FramePattern.parse(target.name)
        if pattern is not None:
            below = Path(os.path.relpath(target.parent, folder)).as_posix()
            return [f"{below}/{pattern.name(frame)}" for frame in range(count)]
    return None


def check_distinct(targets: Iterable[str], *, option: str = "-o") -> None:
    """Raise UsageError if two outputs are the same file, stream or folder of images; `option` names them."""
    real_folder = lru_cache(os.path.realpath)  # a batch has many files in one folder
    names: dict[str, str] = {}
    for target in targets:
        place = _place(target, real_folder)
        if place is None:
            continue
        if place in names:
            same = "given twice" if names[place] == target else f"the same place as {option} {names[place]}"
            raise UsageError(f"{option} {target}: {same}", hint="leave one of them out")
        names[place] = target


def _place(target: str, real_folder: Callable[[Path], str]) -> str | None:
    """Return a text equal for outputs in the same place; None for a place that several can share."""
    if target == "null:":
        return target
    path = Path("/dev/stdout") if target == "-" else Path(target)
    if find_stream(path) is not None:
        return None if stat.S_ISCHR(path.stat().st_mode) else os.path.realpath(path)
    path = (
        sequence_folder(path.absolute(), "partial") if is_sequence(target) else follow_link(path.absolute())
    )
    return str(Path(real_folder(path.parent), path.name))


class OutputFile:
    """File written as `partial` until it is complete; of a symbolic link, its target.

    `link` finds it again in a later run; `growing` is the file that the encoder writes.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.name = path
        self.path = follow_link(path)
        self.overwrite = overwrite
        self.partial = partial_name(self.path)
        self.link: ResumeLink | None = None
        self.growing = self.partial

    @property
    def url(self) -> str:
        """URL of the growing file for ffmpeg."""
        return f"file:{self.growing.absolute()}"

    def check(self) -> None:
        """Raise unless the file can be created and its name is free."""
        check_new(self.name, overwrite=self.overwrite)
        check_folder(self.path.parent)

    def start_over(self) -> None:
        """Replace an earlier partial file by an empty one."""
        with write_errors(self.partial):
            # An encoder that outlived its killed run may still have the old file open.
            self.partial.unlink(missing_ok=True)
            self.partial.write_bytes(b"")
        if self.link is not None:
            self.link.remove()
            self.link.link(self.partial)
        self.growing = self.partial

    def resume(self, frames: int) -> Path:
        """Prepare another file to append after the first `frames` frames; return the file that has them.

        The earlier run's file stays unchanged until `replace_partial`.
        """
        assert self.link is not None
        existing, growing = self.link.limit_frames(frames), self.link.next_file
        with write_errors(growing):
            growing.unlink(missing_ok=True)
            growing.write_bytes(b"")
        self.growing = growing
        return existing

    def replace_partial(self) -> None:
        """Replace the partial file by the growing one, which now has all its frames."""
        assert self.link is not None
        with write_errors(self.partial):
            self.link.link(self.link.next_file)
            self.link.next_file.replace(self.partial)

    def put_index_first(self, ffmpeg: str) -> None:
        """Move the index of a complete MP4 file to its start; leave the file as it is where that cannot be done."""
        copy = derived_path(self.partial, ".index", stem=f".{self.partial.name}")
        with contextlib.suppress(OSError):
            if write_index_first(ffmpeg, self.partial, copy):
                copy.replace(self.partial)
            copy.unlink(missing_ok=True)

    def commit(self) -> None:
        """Flush the complete file to the disk and give it its final name."""
        check_new(self.path, overwrite=self.overwrite)
        try:
            with self.partial.open("rb+") as written:
                os.fsync(written.fileno())
            self.partial.replace(self.path)
        except OSError as failure:
            raise OutputError(f"{self.path} could not be finished: {failure.strerror}") from failure


class ImageSequence:
    """Numbered images, written to a folder of their own: a/%05d.png → a.partial/.

    `link` finds `marker`, an empty file in that folder, again in a later run.
    """

    def __init__(self, pattern: Path, *, overwrite: bool) -> None:
        names = FramePattern.parse(pattern.name)
        if names is None:
            raise UsageError(
                f"-o {pattern}: an image sequence needs one number in its file name",
                hint=f"use a name such as {pattern.parent / ('%05d' + pattern.suffix)}",
            )
        self.pattern = pattern
        self.folder = follow_link(pattern.parent)
        self.overwrite = overwrite
        self.partial = sequence_folder(pattern, "partial")
        self.link: ResumeLink | None = None
        self.marker = self.partial / ".film"
        self._names = names
        self._partial_names = names.for_writing(self.folder.absolute().parent)

    @property
    def url(self) -> str:
        """URL of the growing sequence for ffmpeg."""
        return self._partial_names.ffmpeg_url(self.partial)

    def count_images(self, limit: int) -> int:
        """Return the number of images that an earlier run left, up to `limit` or the first gap."""
        found = self.link.find() if self.link is not None else None
        if found is None or not (self.marker.exists() and self.marker.samefile(found[0])):
            return 0
        existing = self._partial_names.find(self.partial)
        return min(limit, next(number for number in count() if number not in existing))

    def check(self, frames: int | None) -> None:
        """Raise unless `frames` images can be created and their names are free."""
        check_name(self.folder / self._names.name(max(0, (frames or 1) - 1)))
        check_folder(self.folder.absolute().parent)
        if self.folder.exists():
            check_folder(self.folder)
        for image in self._names.find(self.folder).values():
            check_new(image, overwrite=self.overwrite)

    def prepare(self, first: int) -> None:
        """Prepare to write images from number `first` on; remove later ones."""
        with write_errors(self.partial):
            self.partial.mkdir(exist_ok=True)
            for number, image in self._partial_names.find(self.partial).items():
                if number >= first:
                    image.unlink()
            if not first:
                self.marker.unlink(missing_ok=True)
            if self.link is not None:
                self.marker.touch()
        if self.link is not None and not first:
            self.link.remove()
            self.link.link(self.marker)

    def commit(self) -> None:
        """Move the complete sequence to its final folder, by a rename if that does not exist yet."""
        try:
            self.marker.unlink(missing_ok=True)
            if not self.folder.exists() and self._partial_names == self._names:
                self.partial.replace(self.folder)
                return
            self.folder.mkdir(exist_ok=True)
            for image in self._names.find(self.folder).values():
                image.unlink()
            for number, image in self._partial_names.find(self.partial).items():
                image.replace(self.folder / self._names.name(number))
            self.partial.rmdir()
        except OSError as failure:
            raise OutputError(f"{self.pattern} could not be finished: {failure.strerror}") from failure

    def discard(self) -> None:
        """Remove the folder of a sequence without images."""
        self.marker.unlink(missing_ok=True)
        self.partial.rmdir()
