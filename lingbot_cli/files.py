"""Files written whole, and one refusal for files that exist."""

import os
from pathlib import Path

from lingbot_cli.errors import UsageError, write_errors


def check_new(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that exists, unless it may be replaced. Errors: UsageError."""
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already", hint="choose another name, or use --overwrite")


def write_file(path: Path, content: str | bytes, *, overwrite: bool = True) -> None:
    """Write a file by replacing it: readers find the old content or the new, never a part.

    Text is written as UTF-8. Errors: UsageError for a path that exists, OutputError.
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
            part.write_bytes(data)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
