"""Recording of play sessions as timeline files that render to the same video."""

import json
from pathlib import Path
from time import monotonic

from lingbot_cli.errors import OutputError
from lingbot_cli.files import write_file
from lingbot_cli.server.input_to_control import TimelineController
from lingbot_cli.server.play_session import PlaySession

WRITE_INTERVAL_S = 5.0


class SessionRecorder:
    """Records each session from its start or restart: the first to PATH, later ones to PATH-2, PATH-3, …"""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._recordings: list[TimelineController] = []
        self._current: TimelineController | None = None
        self._sent_frames = 0
        self._written_at = monotonic()
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist", hint=f"mkdir -p {path.parent}")
        if path.suffix != ".jsonl":
            raise OutputError(f"--record {path}: not a .jsonl file", hint="name a file such as walk.jsonl")

    def chunk_sent(self, session: PlaySession) -> None:
        """Record a session up to the chunk that was sent last."""
        controller = session.controller
        if not isinstance(controller, TimelineController) or not session.sent_frames:
            return
        if controller is not self._current:
            self.write()
            if controller not in self._recordings:
                self._recordings.append(controller)
        self._current, self._sent_frames = controller, session.sent_frames
        if monotonic() - self._written_at > WRITE_INTERVAL_S:
            self.write()

    @property
    def paths(self) -> list[Path]:
        """Files of all sessions so far."""
        return [self._path(number) for number in range(1, len(self._recordings) + 1)]

    def write(self) -> None:
        """Replace the file of the current session. Errors: OutputError, with the older file left."""
        if self._current is None:
            return
        path = self._path(self._recordings.index(self._current) + 1)
        write_file(path, recorded_timeline(self._current, self._sent_frames))
        self._written_at = monotonic()

    def _path(self, number: int) -> Path:
        return self.path if number == 1 else self.path.with_stem(f"{self.path.stem}-{number}")


def recorded_timeline(controller: TimelineController, frames: int) -> str:
    """Return the text of a timeline file that renders the first `frames` frames of a session."""
    lines = [
        line
        for line in controller.lines()
        if "at" not in line or ("end" not in line and int(line["at"].removesuffix("f")) < frames)
    ]
    lines.append({"end": True, "at": f"{frames}f"})
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
