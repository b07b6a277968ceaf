"""Progress display of a run with a terminal preview: its status line."""

import collections

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
        self._pending: collections.deque[tuple[str, str]] = collections.deque(maxlen=MAX_PENDING_LINES)

    def chunk(self, progress: Progress) -> None:
        self._preview.set_status(progress_line(progress))

    def state(self, state: Report) -> None:
        self._preview.set_status(redact(state.text))

    def plan(self, plan: Report) -> None:
        if not self._quiet:
            super().plan(plan)
        self._preview.set_status("rendering the first chunk …")

    def event(self, kind: str, news: Report) -> None:
        if not self._quiet:
            self._report(kind, news.text)

    def note(self, text: str) -> None:
        if not self._quiet:
            self._report("note", text)

    def warning(self, text: str) -> None:
        self._report("warning", text)

    def done(self, video: Report) -> None:
        self.close()
        if not self._quiet:
            super().done(video)

    def close(self) -> None:
        while self._pending and not self._preview.shown:
            kind, text = self._pending.popleft()
            self._print(kind, text)

    def _report(self, kind: str, text: str) -> None:
        self.close()
        if self._preview.shown:
            self._pending.append((kind, text))
            self._preview.set_status(redact(f"{kind}: {text}"))
        else:
            self._print(kind, text)

    def _print(self, kind: str, text: str) -> None:
        if kind == "warning":
            super().warning(text)
        elif kind == "note":
            super().note(text)
        else:
            super().event(kind, Report({}, text))
