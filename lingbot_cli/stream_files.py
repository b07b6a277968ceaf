"""Pipes, devices and open file descriptors: written into where they are, never replaced."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lingbot_cli.errors import UsageError

_READER_POLL_INTERVAL_S = 0.05
_MAX_LINKS = 40


@dataclass(frozen=True)
class StreamFile:
    """A pipe or a device at `path` or, with a `descriptor`, the file that is open under that number."""

    path: Path
    descriptor: int | None = None

    def open(self, check_stop: Callable[[], None] = lambda: None) -> BinaryIO:
        """Open it for writing; a pipe waits for its reader, or until `check_stop` raises. Errors: OSError."""
        if self.descriptor is not None:
            return os.fdopen(os.dup(self.descriptor), "wb")
        while True:
            try:
                file = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            except OSError as failure:
                if failure.errno != errno.ENXIO or not self.path.is_fifo():
                    raise
                check_stop()
                time.sleep(_READER_POLL_INTERVAL_S)
            else:
                os.set_blocking(file, True)
                return os.fdopen(file, "wb")


def find_stream(path: Path) -> StreamFile | None:
    """Return the pipe, device or open file descriptor that a path leads to; None for a file or a free name.

    Errors: UsageError for a descriptor that cannot be written.
    """
    descriptor = _descriptor_number(path)
    if descriptor is not None:
        check_writable(path, descriptor)
        return StreamFile(path, descriptor)
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return StreamFile(path) if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) else None


def is_descriptor(path: Path) -> bool:
    """Return whether a path leads to an open file descriptor, as /dev/stdin and /dev/fd/63 do."""
    return _descriptor_number(path) is not None


def _descriptor_number(path: Path) -> int | None:
    """Follow links until one lies in this process's folder of file descriptors."""
    folders = {os.path.realpath("/dev/fd"), "/dev/fd"}
    for _ in range(_MAX_LINKS):
        if path.name.isascii() and path.name.isdigit() and os.path.realpath(path.parent) in folders:
            return int(path.name)
        try:
            path = path.parent / path.readlink()
        except (OSError, ValueError):
            return None
    return None


def check_writable(path: Path, descriptor: int) -> None:
    """Raise UsageError unless a file descriptor is open for writing; `path` names it."""
    try:
        writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        raise UsageError(
            f"{path}: no open file descriptor", hint=f"open it in the shell: {descriptor}>FILE"
        ) from None
    if not writable:
        raise UsageError(f"{path}: open for reading only", hint="name a file")
