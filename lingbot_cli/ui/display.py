"""Displays of a run: a live line, plain lines, warnings only, or JSON lines."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from lingbot_cli.console import print_json
from lingbot_cli.errors import LingbotError
from lingbot_cli.redact import redact
from lingbot_cli.ui.progress import Progress, duration_text, fit_line, size_text


@dataclass(frozen=True)
class Report:
    """One report in two forms: `facts` for programs, `text` for people."""

    facts: Mapping[str, Any]
    text: str


def print_json_line(console: Console, event: str, facts: Mapping[str, Any]) -> None:
    """Print one line of JSON."""
    print_json(console, {"event": event, **facts})


class Display:
    """Receiver of a run's reports, in this order: plan, chunks and warnings, then done or error, then close.

    `interval_s`: seconds between two states of a stream. This one shows nothing.
    """

    interval_s = 1.0

    def plan(self, report: Report) -> None:
        """Show what will be rendered."""

    def chunk(self, progress: Progress) -> None:
        """Show progress after a chunk was written."""

    def state(self, report: Report) -> None:
        """Show the state of a stream."""

    def event(self, kind: str, report: Report) -> None:
        """Show an event of a stream; `kind` is one word."""

    def warning(self, text: str) -> None:
        """Show a warning."""

    def note(self, text: str) -> None:
        """Show a note."""

    def done(self, report: Report) -> None:
        """Show the finished video."""

    def error(self, error: LingbotError) -> None:
        """Report a failure or an interruption to programs; for people the command prints it."""

    def close(self) -> None:
        """Restore the terminal."""


def progress_line(progress: Progress) -> str:
    """Return the progress after a chunk in one line, the most important first, as a narrow line ends early."""
    parts = [
        f"chunk {progress.chunk}/{progress.chunks}" if progress.chunks else f"chunk {progress.chunk}",
        *([] if progress.left is None else [f"{duration_text(progress.left)} left"]),
        f"{progress.fps:.1f} fps",
        *([f"keys {progress.keys}"] if progress.keys else []),
        f"{progress.realtime:.2f}× real time",
        f"{progress.frames} frames",
        size_text(progress.memory),
    ]
    return " · ".join(parts)


class QuietDisplay(Display):
    """Display of warnings only."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def warning(self, text: str) -> None:
        self.console.print(f"[yellow]warning:[/] {escape(redact(text))}")


class PlainDisplay(QuietDisplay):
    """Display of one line per report, for logs."""

    interval_s = 10.0

    def state(self, report: Report) -> None:
        self.console.print(escape(redact(report.text)))

    def event(self, kind: str, report: Report) -> None:
        self.console.print(f"[cyan]{kind}:[/] {escape(redact(report.text))}")

    plan = done = state

    def chunk(self, progress: Progress) -> None:
        self.console.print(progress_line(progress))

    def note(self, text: str) -> None:
        self.console.print(escape(redact(text)))


class LiveDisplay(PlainDisplay):
    """Display of one changing line, on a terminal."""

    interval_s = 1.0

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, transient=True, auto_refresh=False)

    def plan(self, report: Report) -> None:
        super().plan(report)
        self._live.start()
        self._show("rendering the first chunk …")

    def chunk(self, progress: Progress) -> None:
        self._show(progress_line(progress))

    def state(self, report: Report) -> None:
        self._show(redact(report.text))

    def done(self, report: Report) -> None:
        self.close()
        super().done(report)

    def close(self) -> None:
        self._live.stop()

    def _show(self, line: str) -> None:
        self._live.update(Text(fit_line(line, self.console.width)), refresh=True)


class JsonDisplay(Display):
    """Display of one JSON object per line, each with its `event`."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def plan(self, report: Report) -> None:
        print_json_line(self.console, "plan", report.facts)

    def chunk(self, progress: Progress) -> None:
        fields = {
            key: round(value, 3) if isinstance(value, float) else value
            for key, value in asdict(progress).items()
        }
        print_json_line(self.console, "chunk", fields)

    def state(self, report: Report) -> None:
        print_json_line(self.console, "stream", report.facts)

    def event(self, kind: str, report: Report) -> None:
        print_json_line(self.console, kind, report.facts)

    def warning(self, text: str) -> None:
        print_json_line(self.console, "warning", {"message": text})

    def note(self, text: str) -> None:
        print_json_line(self.console, "note", {"message": text})

    def done(self, report: Report) -> None:
        print_json_line(self.console, "done", report.facts)

    def error(self, error: LingbotError) -> None:
        print_json_line(
            self.console, "error", {"message": str(error), "hint": error.hint, "exit_code": error.exit_code}
        )


def choose_display(*, quiet: bool, as_json: bool, err: Console, json_to: Console) -> Display:
    """Return the display that the flags and the terminal ask for."""
    if as_json:
        return JsonDisplay(json_to)
    return QuietDisplay(err) if quiet else LiveDisplay(err) if err.is_terminal else PlainDisplay(err)
