"""Progress display of a run with a terminal preview: its status line."""

import collections
from collections.abc import Callable
from functools import partial

from rich.console import Console

from lingbot_cli.redact import redact
from lingbot_cli.terminal.preview import TerminalPreview
from lingbot_cli.ui.display import PlainDisplay, Report, progress_line
from lingbot_cli.ui.progress import Progress

MAX_PENDING_LINES = 200


class StatusLineDisplay(PlainDisplay):
    """Shows progress in the status line; notes and warnings are printed once the terminal is restored."""

    interval_s = 1.0

    def __init__(self, console: Console, preview: TerminalPreview, *, quiet: bool) -> None:
        super().__init__(console)
        self._preview = preview
        self._quiet = quiet
        self._pending: collections.deque[Callable[[], None]] = collections.deque(maxlen=MAX_PENDING_LINES)

    def chunk(self, progress: Progress) -> None:
        self._preview.set_status(progress_line(progress))

    def state(self, report: Report) -> None:
        self._preview.set_status(redact(report.text))

    def plan(self, report: Report) -> None:
        if not self._quiet:
            super().plan(report)
        self._preview.set_status("rendering the first chunk …")

    def event(self, kind: str, report: Report) -> None:
        if not self._quiet:
            self._report(kind, report.text, partial(super().event, kind, report))

    def note(self, text: str) -> None:
        if not self._quiet:
            self._report("note", text, partial(super().note, text))

    def warning(self, text: str) -> None:
        self._report("warning", text, partial(super().warning, text))

    def done(self, report: Report) -> None:
        self.close()
        if not self._quiet:
            super().done(report)

    def close(self) -> None:
        while self._pending and not self._preview.shown:
            self._pending.popleft()()

    def _report(self, kind: str, text: str, show: Callable[[], None]) -> None:
        self._pending.append(show)
        if self._preview.shown:
            self._preview.set_status(redact(f"{kind}: {text}"))
        self.close()
