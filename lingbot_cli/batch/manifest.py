"""Which films of an output folder are finished, and from which recipe: a note beside them for each."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingbot_cli.errors import OutputError, write_errors


@dataclass(frozen=True)
class Manifest:
    """An output folder; its notes lie in `.lingbot` below it."""

    folder: Path

    def path(self, name: str) -> Path:
        """Where a film lies."""
        return self.folder / name

    def entry(self, name: str) -> dict[str, Any] | None:
        """What was noted of a finished film that is still there as it was finished, or None."""
        try:
            said = json.loads(self._file(name).read_text("utf-8"))
            return said if said["bytes"] == _bytes(self.path(name)) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def find(self, name: str, recipe: str) -> dict[str, Any] | None:
        """The note of a finished film of this recipe."""
        said = self.entry(name)
        return said if said is not None and said.get("recipe") == recipe else None

    def record(self, name: str, facts: Mapping[str, Any]) -> None:
        """Note a finished film."""
        file = self._file(name)
        fresh = file.with_name(f".{file.name}.{os.getpid()}")
        with write_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({**facts, "bytes": _bytes(self.path(name))}), "utf-8")
            fresh.replace(file)

    def make_folder(self, name: str) -> None:
        """Make the folder a film goes to."""
        path = self.path(name)
        folder = path.parent.parent if "%" in path.name else path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise OutputError(f"the folder {folder} cannot be made: {failure.strerror}") from failure

    def _file(self, name: str) -> Path:
        return self.folder / ".lingbot" / f"{name}.json"


def _bytes(path: Path) -> int:
    """The size of a film, of all its pictures when it is a sequence."""
    if "%" not in path.name:
        return path.stat().st_size
    return sum(picture.stat().st_size for picture in path.parent.glob(f"*{path.suffix}")) or -1
