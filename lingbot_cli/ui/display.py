"""What the user sees of a run: a live line, plain lines, nothing, or JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from lingbot_cli.errors import LingbotError
from lingbot_cli.redact import redact
from lingbot_cli.ui.progress import Progress, duration_text, size_text


@dataclass(frozen=True)
class Report:
    """The same news twice: `facts` for programs, `text` for people."""

    facts: Mapping[str, Any]
    text: str


def print_json_line(console: Console, event: str, facts: Mapping[str, Any]) -> None:
    """Print one line of JSON."""
    line = redact(json.dumps({"event": event, **facts}, ensure_ascii=False))
    console.file.write(line + "\n")
    console.file.flush()


class Display:
    """Told what happens, in this order: plan, chunks and warnings, then done or error, then close.

    `interval` is how many seconds it likes between two states of a stream.
    """

    interval = 1.0

    def plan(self, plan: Report) -> None:
        """What is going to be rendered."""

    def chunk(self, progress: Progress) -> None:
        """A chunk has been written."""

    def state(self, state: Report) -> None:
        """How a stream is going."""

    def event(self, kind: str, news: Report) -> None:
        """Something has happened to a stream; `kind` is one word for it."""

    def warning(self, text: str) -> None:
        """Something the user should know."""

    def note(self, text: str) -> None:
        """Something good to know."""

    def done(self, film: Report) -> None:
        """The film is finished."""

    def error(self, error: LingbotError) -> None:
        """The run has failed or was interrupted; the sentence itself is printed elsewhere."""

    def close(self) -> None:
        """Give the terminal back."""


def progress_line(progress: Progress) -> str:
    """Return a chunk's figures in one line."""
    parts = [
        f"chunk {progress.chunk}/{progress.chunks}" if progress.chunks else f"chunk {progress.chunk}",
        f"{progress.frames} frames",
        f"{progress.fps:.1f} fps",
        f"{progress.realtime:.2f}× real time",
    ]
    if progress.left is not None:
        parts.append(f"{duration_text(progress.left)} left")
    parts.append(size_text(progress.memory))
    if progress.keys:
        parts.append(f"keys {progress.keys}")
    return " · ".join(parts)


class QuietDisplay(Display):
    """Nothing but warnings."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def warning(self, text: str) -> None:
        self.console.print(f"[yellow]warning:[/] {escape(redact(text))}")


class PlainDisplay(QuietDisplay):
    """A line for everything, for logs."""

    interval = 10.0

    def state(self, state: Report) -> None:
        self.console.print(escape(redact(state.text)))

    def event(self, kind: str, news: Report) -> None:
        self.console.print(f"[cyan]{kind}:[/] {escape(redact(news.text))}")

    def plan(self, plan: Report) -> None:
        self.console.print(escape(redact(plan.text)))

    def chunk(self, progress: Progress) -> None:
        self.console.print(progress_line(progress))

    def note(self, text: str) -> None:
        self.console.print(escape(redact(text)))

    def done(self, film: Report) -> None:
        self.console.print(escape(redact(film.text)))


class LiveDisplay(PlainDisplay):
    """One line that changes, on a terminal."""

    interval = 1.0

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, transient=True, auto_refresh=False)

    def plan(self, plan: Report) -> None:
        super().plan(plan)
        self._live.start()
        self._live.update(Text("the first chunk is being made …"), refresh=True)

    def chunk(self, progress: Progress) -> None:
        self._live.update(Text(progress_line(progress)), refresh=True)

    def state(self, state: Report) -> None:
        self._live.update(Text(redact(state.text)), refresh=True)

    def done(self, film: Report) -> None:
        self.close()
        super().done(film)

    def close(self) -> None:
        self._live.stop()


class JsonDisplay(Display):
    """One JSON object a line, each with its `event`; the README lists their keys."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def plan(self, plan: Report) -> None:
        print_json_line(self.console, "plan", plan.facts)

    def chunk(self, progress: Progress) -> None:
        figures = {
            key: round(value, 3) if isinstance(value, float) else value
            for key, value in asdict(progress).items()
        }
        print_json_line(self.console, "chunk", figures)

    def state(self, state: Report) -> None:
        print_json_line(self.console, "stream", state.facts)

    def event(self, kind: str, news: Report) -> None:
        print_json_line(self.console, kind, news.facts)

    def warning(self, text: str) -> None:
        print_json_line(self.console, "warning", {"message": text})

    def note(self, text: str) -> None:
        print_json_line(self.console, "note", {"message": text})

    def done(self, film: Report) -> None:
        print_json_line(self.console, "done", film.facts)

    def error(self, error: LingbotError) -> None:
        print_json_line(
            self.console, "error", {"message": str(error), "hint": error.hint, "exit_code": error.exit_code}
        )


def choose_display(*, quiet: bool, as_json: bool, err: Console, json_to: Console) -> Display:
    """Return the display that the flags and the terminal ask for."""
    choices: list[tuple[bool, Callable[[], Display]]] = [
        (as_json, lambda: JsonDisplay(json_to)),
        (quiet, lambda: QuietDisplay(err)),
        (err.is_terminal, lambda: LiveDisplay(err)),
        (True, lambda: PlainDisplay(err)),
    ]
    return next(make() for wanted, make in choices if wanted)
