"""What the user sees of a run whose picture fills the terminal."""

import collections

from rich.console import Console

from lingbot_cli.redact import redact
from lingbot_cli.terminal.preview import TerminalPreview
from lingbot_cli.ui.display import PlainDisplay, Report, progress_line
from lingbot_cli.ui.progress import Progress

MAX_PENDING_LINES = 200  # lines


class StatusLineDisplay(PlainDisplay):
    """One line below the picture; what was told meanwhile is printed once the terminal is back."""

    interval = 1.0

    def __init__(self, console: Console, preview: TerminalPreview, *, quiet: bool) -> None:
        super().__init__(console)
        self._preview = preview
        self._quiet = quiet
        self._kept: collections.deque[tuple[str, str]] = collections.deque(maxlen=MAX_PENDING_LINES)

    def chunk(self, progress: Progress) -> None:
        self._preview.say(progress_line(progress))

    def state(self, state: Report) -> None:
        self._preview.say(redact(state.text))

    def plan(self, plan: Report) -> None:
        if not self._quiet:
            super().plan(plan)
        self._preview.say("the first chunk is being made …")

    def event(self, kind: str, news: Report) -> None:
        if not self._quiet:
            self._tell(kind, news.text)

    def note(self, text: str) -> None:
        if not self._quiet:
            self._tell("note", text)

    def warning(self, text: str) -> None:
        self._tell("warning", text)

    def done(self, film: Report) -> None:
        self.close()
        if not self._quiet:
            super().done(film)

    def close(self) -> None:
        while self._kept and not self._preview.shown:
            kind, text = self._kept.popleft()
            self._print(kind, text)

    def _tell(self, kind: str, text: str) -> None:
        self.close()
        if self._preview.shown:
            self._kept.append((kind, text))
            self._preview.say(redact(f"{kind}: {text}"))
        else:
            self._print(kind, text)

    def _print(self, kind: str, text: str) -> None:
        if kind == "warning":
            super().warning(text)
        elif kind == "note":
            super().note(text)
        else:
            super().event(kind, Report({}, text))
