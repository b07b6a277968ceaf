"""What the user sees of a farm at work: a live table of hands, plain lines, or JSON."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from lingbot_cli.batch.report import facts, line
from lingbot_cli.batch.scheduler import Row
from lingbot_cli.redact import redact
from lingbot_cli.ui.display import print_json_line


class Watch:
    """Called with every row that changes; `live` is the display to be entered while the farm works."""

    live: AbstractContextManager[object] = nullcontext()

    def __call__(self, row: Row) -> None:
        """Show what has changed."""

    def note(self, text: str) -> None:
        """Something good to know."""


class PlainWatch(Watch):
    """A line when a film begins and one when it ends."""

    def __init__(self, console: Console, count: int) -> None:
        self.console = console
        self.count = count
        self.done = 0

    def __call__(self, row: Row) -> None:
        self.done += row.outcome is not None
        if row.progress is None:
            self.note(f"[{self.done}/{self.count}] {line(row)}")

    def note(self, text: str) -> None:
        self.console.print(Text(redact(text)))


class LiveWatch(PlainWatch):
    """The same, and below a line for each film in work."""

    def __init__(self, console: Console, count: int) -> None:
        super().__init__(console, count)
        self._rows: dict[str, Row] = {}
        self.live = self._live = Live(console=console, transient=True, auto_refresh=False)

    def __call__(self, row: Row) -> None:
        super().__call__(row)
        self._rows.pop(row.hand, None)
        if row.outcome is None and row.hand:
            self._rows[row.hand] = row
        self._live.update(Group(*(Text(redact(line(each))) for each in self._rows.values())), refresh=True)


class JsonWatch(Watch):
    """One JSON object a line: `film` with its `status` when it ends, `progress` before."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, row: Row) -> None:
        film, progress = row.planned.task.name, row.progress
        if row.outcome is not None:
            print_json_line(self.console, "film", facts(row))
        elif progress is not None:
            frames = {"frames": progress.frames, "total": progress.total, "fps": round(progress.fps, 2)}
            print_json_line(self.console, "progress", {"film": film, "hand": row.hand, **frames})
        else:
            print_json_line(self.console, "begun", {"film": film, "hand": row.hand, "tries": row.tries})

    def note(self, text: str) -> None:
        print_json_line(self.console, "note", {"message": text})


def choose_watch(*, quiet: bool, as_json: bool, out: Console, err: Console, count: int) -> Watch:
    """What the flags and the terminal ask for."""
    choices: list[tuple[bool, Callable[[], Watch]]] = [
        (as_json, lambda: JsonWatch(out)),
        (quiet, Watch),
        (err.is_terminal, lambda: LiveWatch(err, count)),
        (True, lambda: PlainWatch(err, count)),
    ]
    return next(make() for wanted, make in choices if wanted)
