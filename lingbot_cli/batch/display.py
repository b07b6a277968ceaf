"""What the user sees of a farm at work: a live table of hands, plain lines, or JSON."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from lingbot_cli.batch.report import progress_line, result_fields
from lingbot_cli.batch.scheduler import TaskState
from lingbot_cli.redact import redact
from lingbot_cli.ui.display import print_json_line


class BatchDisplay:
    """Called with every row that changes; `live` is the display to be entered while the farm works."""

    live: AbstractContextManager[object] = nullcontext()

    def __call__(self, row: TaskState) -> None:
        """Show what has changed."""

    def note(self, text: str) -> None:
        """Something good to know."""


class PlainBatchDisplay(BatchDisplay):
    """A line when a film begins and one when it ends."""

    def __init__(self, console: Console, count: int) -> None:
        self.console = console
        self.count = count
        self.done = 0

    def __call__(self, row: TaskState) -> None:
        self.done += row.result is not None
        if row.progress is None:
            self.note(f"[{self.done}/{self.count}] {progress_line(row)}")

    def note(self, text: str) -> None:
        self.console.print(Text(redact(text)))


class LiveBatchDisplay(PlainBatchDisplay):
    """The same, and below a line for each film in work."""

    def __init__(self, console: Console, count: int) -> None:
        super().__init__(console, count)
        self._rows: dict[str, TaskState] = {}
        self.live = self._live = Live(console=console, transient=True, auto_refresh=False)

    def __call__(self, row: TaskState) -> None:
        super().__call__(row)
        self._rows.pop(row.worker, None)
        if row.result is None and row.worker:
            self._rows[row.worker] = row
        self._live.update(
            Group(*(Text(redact(progress_line(each))) for each in self._rows.values())), refresh=True
        )


class JsonBatchDisplay(BatchDisplay):
    """One JSON object a line: `film` with its `status` when it ends, `progress` before."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, row: TaskState) -> None:
        film, progress = row.planned.task.name, row.progress
        if row.result is not None:
            print_json_line(self.console, "film", result_fields(row))
        elif progress is not None:
            frames = {"frames": progress.frames, "total": progress.total, "fps": round(progress.fps, 2)}
            print_json_line(self.console, "progress", {"film": film, "hand": row.worker, **frames})
        else:
            print_json_line(self.console, "begun", {"film": film, "hand": row.worker, "tries": row.attempts})

    def note(self, text: str) -> None:
        print_json_line(self.console, "note", {"message": text})


def choose_batch_display(
    *, quiet: bool, as_json: bool, out: Console, err: Console, count: int
) -> BatchDisplay:
    """What the flags and the terminal ask for."""
    choices: list[tuple[bool, Callable[[], BatchDisplay]]] = [
        (as_json, lambda: JsonBatchDisplay(out)),
        (quiet, BatchDisplay),
        (err.is_terminal, lambda: LiveBatchDisplay(err, count)),
        (True, lambda: PlainBatchDisplay(err, count)),
    ]
    return next(make() for wanted, make in choices if wanted)
