"""A finished film on its way from a node without a shared folder: its files by name, with its note."""

import os
from collections.abc import Mapping
from pathlib import Path

from lingbot_cli.errors import OutputError, UsageError

Artifacts = Mapping[str, bytes]
"""Contents by path below the output folder; the note comes last."""


def pack_artifacts(folder: Path, name: str) -> Artifacts:
    """Everything that belongs to a film in `folder`."""
    film = folder / name
    files = sorted(film.parent.glob(f"*{film.suffix}")) if "%" in film.name else [film]
    files.append(folder / ".lingbot" / f"{name}.json")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def unpack_artifacts(folder: Path, parcel: Artifacts, *, overwrite: bool) -> None:
    """Put a film's files in their places, each whole or not at all; the film counts as made with its note."""
    for name, content in parcel.items():
        path = folder / name
        if path.exists() and not overwrite and not name.startswith(".lingbot"):
            raise UsageError(f"{path} exists already", hint="choose another name, or say --overwrite")
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(path)
        except OSError as failure:
            part.unlink(missing_ok=True)
            raise OutputError(f"{path} cannot be written: {failure.strerror}") from failure
