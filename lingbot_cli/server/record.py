"""What was played, kept as a timeline file that renders to the same film."""

import json
from pathlib import Path
from time import monotonic
from typing import Any

from lingbot_cli.errors import OutputError, write_errors
from lingbot_cli.server.input_to_control import TimelineController
from lingbot_cli.server.play_session import PlaySession

_EVERY = 5.0  # seconds; a crash loses no more


class Recorder:
    """Writes every walk from its beginning on: the first to `path`, later ones to path-2, path-3, …"""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._walks: list[TimelineController] = []
        self._walk: TimelineController | None = None
        self._shown = 0
        self._written = monotonic()
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist", hint=f"mkdir -p {path.parent}")
        if path.suffix != ".jsonl":
            raise OutputError(f"--record {path}: a walk is written as .jsonl")

    def chunk(self, living: PlaySession) -> None:
        """A chunk of this world has been shown."""
        walk = living.steering
        if not isinstance(walk, TimelineController) or not living.sent_frames:
            return
        if walk is not self._walk:
            self.write()
            if walk not in self._walks:
                self._walks.append(walk)
        self._walk, self._shown = walk, living.sent_frames
        if monotonic() - self._written > _EVERY:
            self.write()

    def write(self) -> None:
        """Write the walk under way as a whole file, or leave the older file as it was."""
        if self._walk is None:
            return
        number = self._walks.index(self._walk) + 1
        path = self.path if number == 1 else self.path.with_stem(f"{self.path.stem}-{number}")
        lines = [line for line in self._walk.lines() if _before(line, self._shown)]
        lines.append({"end": True, "at": f"{self._shown}f"})
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        unfinished = path.with_stem(f"{path.stem}.partial")
        with write_errors(path):
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(path)
        self._written = monotonic()


def _before(line: dict[str, Any], frame: int) -> bool:
    """Whether a line belongs to the film's first frames: the header does, and no end but ours."""
    if "at" not in line:
        return True
    return "end" not in line and int(line["at"].removesuffix("f")) < frame
