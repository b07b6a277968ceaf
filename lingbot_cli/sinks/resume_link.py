"""The second name of the file a film grows in, by which only the same film, encoded alike, finds it again."""

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lingbot_cli.errors import OutputError, UsageError, write_errors

LOCK_TIMEOUT_S = 10.0  # seconds an encoder that outlived its killed run gets to finish


@dataclass(frozen=True)
class ResumeLink:
    """A hard link in `folder`, so it stays what it is whatever becomes of the film's own names.

    `key` says which film it is, and how it is encoded. `KEY@N` is a link of which only the first N frames count.
    """

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        """The link to a file that counts whole."""
        return self.folder / self.key

    @property
    def fresh(self) -> Path:
        """Where a longer version grows until it has all that is here."""
        return self.folder / f".{self.key}.next"

    def find(self) -> tuple[Path, int | None] | None:
        """What an earlier run left and how many of its frames count, None for all; waits for its encoder to end.

        Errors: UsageError when the encoder does not.
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
        """Let `file` be what is found from now on; on a file system that has no links, nothing is."""
        link = self.folder / f".{self.key}.link"
        with contextlib.suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            os.link(file, link)
            link.replace(self.path)
            for old in self._limited():
                old.unlink()

    def limit(self, frames: int) -> Path:
        """Let only the first `frames` count of what is here, on the disk before anything follows it."""
        found = self.find()
        if found is None:
            raise OutputError(f"{self.path} is gone")
        limited = self.folder / f"{self.key}@{frames}"
        with write_errors(limited):
            found[0].replace(limited)
            for old in self._limited():
                if old != limited:
                    old.unlink()
        return limited

    def forget(self) -> None:
        """Let nothing be found."""
        try:
            for link in (self.path, self.fresh, *self._limited()):
                link.unlink(missing_ok=True)
        except OSError as failure:
            raise OutputError(f"{self.path} cannot be removed: {failure.strerror}") from failure

    def _limited(self) -> list[Path]:
        return list(self.folder.glob(f"{self.key}@*"))


def lock_file(path: Path) -> BinaryIO:
    """Lock a file while this handle is open, here or in a child that inherits it.

    Errors: UsageError when another holds it.
    """
    file = path.open("rb")
    until = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        if time.monotonic() > until:
            file.close()
            raise UsageError(f"{path}: the encoder of an earlier run still writes it")
        time.sleep(0.05)
