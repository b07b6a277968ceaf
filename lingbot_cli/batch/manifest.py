"""Manifest of the finished videos in an output folder, one JSON entry a video."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingbot_cli.errors import OutputError, write_errors
from lingbot_cli.files import derived_path, write_file
from lingbot_cli.sinks.formats import PLAYLIST_SUFFIX, is_sequence
from lingbot_cli.sinks.frame_pattern import FramePattern
from lingbot_cli.sinks.playlist import find_segments


@dataclass(frozen=True)
class Manifest:
    """An output folder; the entries are `.lingbot/NAME.json` below it."""

    folder: Path

    def path(self, name: str) -> Path:
        """Return the path of a video."""
        return self.folder / name

    def entry(self, name: str) -> dict[str, Any] | None:
        """Return the entry of a finished video; None without one or when the file's size has changed."""
        try:
            entry = json.loads(self._entry_path(name).read_text("utf-8"))
            return entry if entry["bytes"] == _size(self.path(name)) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def find(self, name: str, fingerprint: str) -> dict[str, Any] | None:
        """Return the entry of a finished video with this fingerprint."""
        entry = self.entry(name)
        # Earlier versions wrote `None` for what was left to the format.
        same = entry is not None and str(entry.get("recipe")).replace("-None", "") == fingerprint
        return entry if same else None

    def record(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write the entry of a finished video."""
        file = self._entry_path(name)
        with write_errors(file):
            content = json.dumps({**facts, "bytes": _size(self.path(name))})
        write_file(file, content, make_folder=True)

    def make_folder(self, name: str) -> None:
        """Create the folder that a video is written to. Errors: OutputError."""
        path = self.path(name)
        folder = path.parent.parent if is_sequence(name) else path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise OutputError(f"{folder}: cannot create the folder: {failure.strerror}") from failure

    def files(self, name: str) -> list[Path]:
        """Return every file of a video, its entry last."""
        return [*_video_files(self.path(name)), self._entry_path(name)]

    def _entry_path(self, name: str) -> Path:
        return derived_path(self.folder / ".lingbot" / name, ".json")


def _video_files(path: Path) -> list[Path]:
    if path.suffix.lower() == PLAYLIST_SUFFIX:
        return [*find_segments(path), path]
    pattern = FramePattern.parse(path.name) if is_sequence(path.name) else None
    return [path] if pattern is None else list(pattern.find(path.parent).values())


def _size(path: Path) -> int:
    """Return the bytes of a video, -1 for a sequence without images."""
    return sum(file.stat().st_size for file in _video_files(path)) or -1
