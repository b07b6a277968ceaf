"""Atomic file writes, and checks of output names, folders and disk space."""

import os
import shutil
from pathlib import Path

from lingbot_cli.errors import OutputError, UsageError, write_errors


def check_new(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that exists, unless it may be replaced. Errors: UsageError."""
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already", hint="choose another name, or use --overwrite")


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


def write_file(path: Path, content: str | bytes, *, overwrite: bool = True, durable: bool = False) -> None:
    """Write a file by replacing it: readers find the old content or the new, never a part.

    Text is written as UTF-8; a `durable` file is on the disk when this returns. Errors: UsageError for a path that
    exists, OutputError.
    """
    check_new(path, overwrite=overwrite)
    data = content.encode() if isinstance(content, str) else content
    with write_errors(path):
        if path.exists() and not path.is_file():  # a pipe or a device cannot be replaced
            path.write_bytes(data)
            return
        target = path.resolve()
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as out:
                out.write(data)
                if durable:
                    out.flush()
                    os.fsync(out.fileno())
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
