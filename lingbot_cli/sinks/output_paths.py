"""Where an encoder writes, and how what it wrote gets its final name: never before it is whole."""

import os
import re
import shutil
from itertools import count
from pathlib import Path

from lingbot_cli.errors import OutputError, UsageError, write_errors
from lingbot_cli.sinks.resume_link import ResumeLink

FRAME_NUMBER = re.compile(r"%0?\d*d")


def partial_name(path: Path) -> Path:
    """Return the name a film carries while it is incomplete: film.mp4 → film.partial.mp4."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def copy_name(target: str, what: str) -> str:
    """Return the name of another version of an output: film.mp4 → film.WHAT.mp4, a/%05d.png → a.WHAT/%05d.png."""
    path = Path(target)
    if is_sequence(path):
        return str(sibling_folder(path.parent, what) / path.name)
    return str(path.with_name(f"{path.stem}.{what}{path.suffix}"))


class OutputFile:
    """One file, beside its final name until it is whole.

    `kept` finds it again in a later run; `growing` is what the encoder writes to.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self.overwrite = overwrite
        self.partial = partial_name(path)
        self.kept: ResumeLink | None = None
        self.growing = self.partial

    @property
    def url(self) -> str:
        """What ffmpeg opens."""
        return f"file:{self.growing.absolute()}"

    def prepare(self) -> None:
        """Clear an older partial one away."""
        with write_errors(self.partial):
            # An encoder that outlived its killed run may still hold the old one open.
            self.partial.unlink(missing_ok=True)
            self.partial.write_bytes(b"")
        if self.kept is not None:
            self.kept.forget()
            self.kept.link(self.partial)
        self.growing = self.partial

    def prepare_longer(self, frames: int) -> Path:
        """Make ready to go on after the first `frames` frames, in another file; return the one that has them.

        Until `take_over` what an earlier run left stays as it is.
        """
        assert self.kept is not None
        left, fresh = self.kept.limit(frames), self.kept.fresh
        with write_errors(fresh):
            fresh.unlink(missing_ok=True)
            fresh.write_bytes(b"")
        self.growing = fresh
        return left

    def take_over(self) -> None:
        """Let the longer film, which now has all that was kept, be the partial one."""
        assert self.kept is not None
        with write_errors(self.partial):
            self.kept.link(self.kept.fresh)
            self.kept.fresh.replace(self.partial)

    def commit(self) -> None:
        """Give the finished film its name."""
        check_free(self.path, self.path.exists(), self.overwrite)
        try:
            with self.partial.open("rb+") as written:
                os.fsync(written.fileno())
            self.partial.replace(self.path)
        except OSError as failure:
            raise OutputError(f"{self.path} could not be finished: {failure.strerror}") from failure

    def check(self) -> None:
        """Raise unless a file can be made here under a name that is free."""
        check_folder(self.path.parent)
        check_free(self.path, self.path.exists(), self.overwrite)


def is_sequence(path: Path) -> bool:
    """Whether a name stands for many: it has a number in it."""
    return FRAME_NUMBER.search(path.name) is not None


def numbered_files(folder: Path, pattern: str) -> dict[int, Path]:
    """The files in `folder` that a numbered pattern names, in order, by their numbers."""
    before, after = FRAME_NUMBER.split(pattern)
    named = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}")
    found = ((named.fullmatch(path.name), path) for path in folder.glob("*"))
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def sibling_folder(folder: Path, what: str) -> Path:
    """Return frames.WHAT beside frames/; a sequence that lies in the working folder gets it there."""
    return folder.with_name(f"{folder.name}.{what}") if folder.name else Path(f"frames.{what}")


def check_folder(folder: Path) -> None:
    """Raise OutputError unless files can be made in a folder."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder", hint="choose another name for the film")
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist", hint=f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the folder {folder} cannot be written to")


def check_disk_space(folder: Path, needed: int, what: str) -> None:
    """Raise OutputError unless a folder's disk has so many bytes free; `what` needs them."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{folder} has {free / 1e6:,.1f} MB free, and {what} take{'' if what.endswith('s') else 's'} "
            f"at least {needed / 1e6:,.1f} MB",
            hint="free some space, or write to another disk",
        )


def check_free(path: Path, taken: bool, overwrite: bool) -> None:
    """Raise UsageError when a name is taken and nobody said that it may be."""
    if taken and not overwrite:
        raise UsageError(f"{path} exists already", hint="choose another name, or say --overwrite")


class ImageSequence:
    """A folder of its own: a/%05d.png → a.partial/. A mark in it has a second name, as a file's film has."""

    def __init__(self, pattern: Path, *, overwrite: bool) -> None:
        if len(FRAME_NUMBER.findall(pattern.name)) != 1:
            raise UsageError(
                f"-o {pattern}: a sequence is named by one number in its file name",
                hint=f"for example {pattern.parent / ('%05d' + pattern.suffix)}",
            )
        self.pattern = pattern
        self.folder = pattern.parent
        self.overwrite = overwrite
        self.partial = sibling_folder(self.folder, "partial")
        self.url = f"{str(self.partial.absolute()).replace('%', '%%')}/{pattern.name}"
        self.kept: ResumeLink | None = None
        self.mark = self.partial / ".film"

    def whole(self, limit: int) -> int:
        """How many pictures without a gap from the first, up to `limit`, an earlier run left."""
        found = self.kept.find() if self.kept is not None else None
        if found is None or not (self.mark.exists() and self.mark.samefile(found[0])):
            return 0
        there = numbered_files(self.partial, self.pattern.name)
        return min(limit, next(number for number in count() if number not in there))

    def check(self) -> None:
        """Raise unless pictures can be made here under names that are free."""
        check_folder(self.folder.absolute().parent)
        check_free(self.pattern, bool(numbered_files(self.folder, self.pattern.name)), self.overwrite)

    def prepare(self, first: int) -> None:
        """Make ready for the pictures from number `first` on; later ones that are here go."""
        with write_errors(self.partial):
            self.partial.mkdir(exist_ok=True)
            for number, old in numbered_files(self.partial, self.pattern.name).items():
                if number >= first:
                    old.unlink()
            if not first:
                self.mark.unlink(missing_ok=True)
            if self.kept is not None:
                self.mark.touch()
        if self.kept is not None and not first:
            self.kept.forget()
            self.kept.link(self.mark)

    def commit(self) -> None:
        """Give the finished sequence its name: at once, where nothing else has it."""
        try:
            self.mark.unlink(missing_ok=True)
            if not self.folder.exists():
                self.partial.replace(self.folder)
                return
            for old in numbered_files(self.folder, self.pattern.name).values():
                old.unlink()
            for frame in numbered_files(self.partial, self.pattern.name).values():
                frame.replace(self.folder / frame.name)
            self.partial.rmdir()
        except OSError as failure:
            raise OutputError(f"{self.pattern} could not be finished: {failure.strerror}") from failure

    def discard(self) -> None:
        """Remove a sequence that has no picture."""
        self.mark.unlink(missing_ok=True)
        self.partial.rmdir()
