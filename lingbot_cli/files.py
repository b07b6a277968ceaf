"""Files that are written: whole ones by replacing them, pipes, devices and open descriptors where they are.

Also the checks of names, folders and disk space.
"""

import errno
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lingbot_cli.errors import OutputError, UsageError, write_errors
from lingbot_cli.operating_system import is_writable, open_pipe

_NAME_LIMIT, _PATH_LIMIT = 255, 4095  # bytes, where the file system reports no other
_READER_POLL_INTERVAL_S = 0.05
_MAX_LINKS = 40


def check_new(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that exists, unless it may be replaced or is written into. Errors: UsageError."""
    check_name(path)
    with write_errors(path):
        if not path.exists() or find_stream(path) is not None:
            return
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path} is a folder", hint="choose another name")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is neither a file nor a pipe", hint="choose another name")
    if not overwrite:
        raise UsageError(f"{path} exists already", hint="choose another name, or use --overwrite")


def check_name(path: Path) -> None:
    """Refuse a path with a name longer than the file system allows. Errors: UsageError."""
    limit = name_limit(path.parent)
    for name in path.parts:
        size = len(os.fsencode(name))
        if size > limit:
            raise UsageError(
                f"{name[:20]}…{name[-20:]}: the name has {size} bytes, the file system allows {limit}",
                hint="choose a shorter name",
            )
    size = len(os.fsencode(path.absolute()))
    if size > _PATH_LIMIT:
        raise UsageError(
            f"{path.name[-40:]}: the path has {size} bytes, the system allows {_PATH_LIMIT}",
            hint="choose a shorter path",
        )


def file_state(path: Path) -> tuple[int, ...]:
    """Return numbers that change when a file's content does: its place, size and time of change."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def name_limit(folder: Path) -> int:
    """Return the largest number of bytes of a file name in a folder."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except OSError:
        return _NAME_LIMIT


def derived_path(path: Path, ending: str, *, stem: str | None = None) -> Path:
    """Return a path beside `path`: its name, or `stem`, and a short ending.

    A name that would be too long is shortened; a hash keeps those of different files apart. Errors: UsageError for
    a path without a name.
    """
    if not path.name:
        raise UsageError(f"'{path}' is no file name", hint="use a name such as walk.mp4")
    stem = path.name if stem is None else stem
    size = name_limit(path.parent)
    if len(os.fsencode(stem + ending)) > size:
        ending = f"~{hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}{ending}"
        stem = os.fsencode(stem)[: size - len(os.fsencode(ending))].decode("utf-8", "ignore")
    return path.with_name(stem + ending)


def follow_link(path: Path) -> Path:
    """Return the file, or the free name, to which a symbolic link leads; another path as it is.

    Errors: UsageError for a link that leads to itself.
    """
    check_name(path)
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise UsageError(f"{path} is a symbolic link that leads to itself", hint="choose another name")
    return target


def check_folder(folder: Path) -> None:
    """Raise OutputError unless files can be created in a folder."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder", hint="choose another output name")
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist", hint=f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the folder {folder} is not writable")


def check_disk_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise OutputError unless the disk of a folder has `needed` bytes free for `purpose`."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{folder}: not enough disk space for {purpose}: at least {needed / 1e6:,.1f} MB needed, "
            f"{free / 1e6:,.1f} MB free",
            hint="free some space, or write to another disk",
        )


def write_file(
    path: Path,
    content: str | bytes,
    *,
    overwrite: bool = True,
    make_folder: bool = False,
) -> None:
    """Write a file by replacing it: readers find the old content or the new, never a part.

    `make_folder`: its folder is created if missing. A pipe, a device or an open descriptor is written into; of a
    symbolic link the target is replaced. Text is written as UTF-8.
    Errors: UsageError for a path that exists, OutputError.
    """
    check_new(path, overwrite=overwrite)
    data = content.encode() if isinstance(content, str) else content
    with write_errors(path):
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        if (stream := find_stream(path)) is not None:
            with stream.open() as opened:
                opened.write(data)
            return
        target = follow_link(path)
        part = derived_path(target, f".{os.getpid()}.part", stem=f".{target.name}")
        try:
            with part.open("wb") as out:
                out.write(data)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


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
                return os.fdopen(open_pipe(self.path), "wb")
            except OSError as failure:
                if failure.errno != errno.ENXIO or not self.path.is_fifo():
                    raise
                check_stop()
                time.sleep(_READER_POLL_INTERVAL_S)


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
        writable = is_writable(descriptor)
    except OSError:
        raise UsageError(
            f"{path}: no open file descriptor", hint=f"open it in the shell: {descriptor}>FILE"
        ) from None
    if not writable:
        raise UsageError(f"{path}: open for reading only", hint="name a file")
