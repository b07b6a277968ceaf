"""Hard link in the resume folder by which a later run finds a partial video of the same encoding."""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lingbot_cli.errors import OutputError, UsageError, write_errors
from lingbot_cli.operating_system import lock

LOCK_TIMEOUT_S = 10.0  # for an encoder that outlived its killed run


@dataclass(frozen=True)
class ResumeLink:
    """Hard link in `folder` to a partial video, valid when the video itself is renamed or replaced.

    `key`: fingerprint of the video and its encoding. `KEY@N` is a link of which only the first N frames are valid.
    """

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        """Link to a file that is valid as a whole."""
        return self.folder / self.key

    @property
    def next_file(self) -> Path:
        """File to which a longer version is written until it has all existing frames."""
        return self.folder / f".{self.key}.next"

    def find(self) -> tuple[Path, int | None] | None:
        """Return the file of an earlier run and its number of valid frames, None for all; wait for its encoder.

        Errors: UsageError when that encoder does not exit.
        """
        if self.path.exists():
            found: tuple[Path, int | None] = self.path, None
        elif limited := self._limited():
            found = limited[0], int(limited[0].name.rpartition("@")[2])
        else:
            return None
        lock_file(found[0]).close()
        return found

    def link(self, file: Path) -> None:
        """Point the link to `file`; does nothing on a file system without hard links."""
        link = self.folder / f".{self.key}.link"
        with contextlib.suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            os.link(file, link)
            link.replace(self.path)
            link.unlink(missing_ok=True)  # it is still there if both were links to the same file
            for old in self._limited():
                old.unlink()

    def limit_frames(self, frames: int) -> Path:
        """Mark only the first `frames` frames as valid, before anything is appended; return the link's new path."""
        found = self.find()
        if found is None:
            raise OutputError(f"{self.path} does not exist any more")
        limited = self.folder / f"{self.key}@{frames}"
        with write_errors(limited):
            found[0].replace(limited)
            for old in self._limited():
                if old != limited:
                    old.unlink()
        return limited

    def remove(self) -> None:
        """Remove every link."""
        try:
            for link in (self.path, self.next_file, *self._limited()):
                link.unlink(missing_ok=True)
        except OSError as failure:
            raise OutputError(f"{self.path} cannot be removed: {failure.strerror}") from failure

    def _limited(self) -> list[Path]:
        return list(self.folder.glob(f"{self.key}@*"))


def lock_file(path: Path) -> BinaryIO:
    """Lock a file until the returned handle is closed, here and in every child that inherits it.

    Errors: UsageError when another process keeps the lock for LOCK_TIMEOUT_S.
    """
    file = path.open("rb")
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        with contextlib.suppress(BlockingIOError):
            lock(file)
            return file
        if time.monotonic() > deadline:
            file.close()
            raise UsageError(f"{path}: still being written by the encoder of an earlier run")
        time.sleep(0.05)
