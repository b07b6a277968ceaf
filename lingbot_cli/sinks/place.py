"""Where an encoder writes, and how what it wrote gets its final name: never before it is whole."""

import glob
import os
import re
from pathlib import Path
from typing import Protocol

from lingbot_cli.errors import OutputError, UsageError

_NUMBER = re.compile(r"%0?\d*d")


class Place(Protocol):
    """`url` is what ffmpeg opens; `partial` is where an unfinished film lies, None on a pipe."""

    url: str
    partial: Path | None

    def prepare(self) -> None:
        """Check that the output can be written, and clear an older partial one away."""

    def commit(self) -> None:
        """Give the finished film its name."""


def partial_name(path: Path) -> Path:
    """Return the name a film carries while it is incomplete: film.mp4 → film.partial.mp4."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def copy_name(target: str, what: str) -> str:
    """Return the name of another version of an output: film.mp4 → film.WHAT.mp4, a/%05d.png → a.WHAT/%05d.png."""
    path = Path(target)
    if _NUMBER.search(path.name):
        return str(_folder_beside(path.parent, what) / path.name)
    return str(path.with_name(f"{path.stem}.{what}{path.suffix}"))


class FilePlace:
    """One file, beside its final name until it is whole."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self.overwrite = overwrite
        self.partial: Path | None = partial_name(path)
        self.url = f"file:{self.partial.absolute()}"

    def prepare(self) -> None:
        check_folder(self.path.parent)
        _check_free(self.path, self.path.exists(), self.overwrite)
        assert self.partial is not None
        try:
            # An encoder that outlived its killed run may still hold the old one open.
            self.partial.unlink(missing_ok=True)
            self.partial.write_bytes(b"")
        except OSError as failure:
            raise OutputError(f"{self.partial} cannot be written: {failure.strerror}") from failure

    def commit(self) -> None:
        assert self.partial is not None
        _check_free(self.path, self.path.exists(), self.overwrite)
        try:
            with self.partial.open("rb+") as written:
                os.fsync(written.fileno())
            self.partial.replace(self.path)
        except OSError as failure:
            raise OutputError(f"{self.path} could not be finished: {failure.strerror}") from failure


class FolderPlace:
    """A numbered sequence, gathered in a folder of its own until it is whole: a/%05d.png → a.partial/."""

    def __init__(self, pattern: Path, *, overwrite: bool) -> None:
        if len(_NUMBER.findall(pattern.name)) != 1:
            raise UsageError(
                f"-o {pattern}: a sequence is named by one number in its file name",
                hint=f"for example {pattern.parent / ('%05d' + pattern.suffix)}",
            )
        self.pattern = pattern
        self.folder = pattern.parent
        self.overwrite = overwrite
        self.partial: Path | None = _folder_beside(self.folder, "partial")
        self.url = f"{str(self.partial.absolute()).replace('%', '%%')}/{pattern.name}"

    def prepare(self) -> None:
        assert self.partial is not None
        check_folder(self.folder.absolute().parent)
        _check_free(self.pattern, bool(_frames(self.folder, self.pattern.name)), self.overwrite)
        try:
            self.partial.mkdir(exist_ok=True)
            for old in _frames(self.partial, self.pattern.name):
                old.unlink()
        except OSError as failure:
            raise OutputError(f"{self.partial} cannot be written: {failure.strerror}") from failure

    def commit(self) -> None:
        assert self.partial is not None
        try:
            self.folder.mkdir(exist_ok=True)
            for old in _frames(self.folder, self.pattern.name):
                old.unlink()
            for frame in _frames(self.partial, self.pattern.name):
                frame.replace(self.folder / frame.name)
            self.partial.rmdir()
        except OSError as failure:
            raise OutputError(f"{self.pattern} could not be finished: {failure.strerror}") from failure


class PipePlace:
    """Standard output: nothing to name, nothing to keep."""

    url = "pipe:1"
    partial: Path | None = None

    def prepare(self) -> None:
        return None

    def commit(self) -> None:
        return None


def _frames(folder: Path, pattern: str) -> list[Path]:
    """List the files in `folder` that a numbered pattern names, in order."""
    before, after = _NUMBER.split(pattern)
    named = re.compile(rf"{re.escape(before)}\d+{re.escape(after)}")
    found = folder.glob(f"{glob.escape(before)}*{glob.escape(after)}")
    return sorted(path for path in found if named.fullmatch(path.name))


def _folder_beside(folder: Path, what: str) -> Path:
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


def _check_free(path: Path, taken: bool, overwrite: bool) -> None:
    if taken and not overwrite:
        raise UsageError(f"{path} exists already", hint="choose another name, or say --overwrite")
