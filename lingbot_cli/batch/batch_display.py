"""Displays of a running batch: a live table of workers, plain lines, or JSON lines."""

from contextlib import AbstractContextManager, nullcontext

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from lingbot_cli.batch.report import progress_line, result_fields
from lingbot_cli.batch.scheduler import TaskState
from lingbot_cli.redact import redact
from lingbot_cli.ui.display import print_json_line


class BatchDisplay:
    """Called with every state that changes; `live` is entered while the batch runs."""

    live: AbstractContextManager[object] = nullcontext()

    def __call__(self, state: TaskState) -> None:
        """Show a changed state."""

    def note(self, text: str) -> None:
        """Show a note."""


class PlainBatchDisplay(BatchDisplay):
    """Print a line when a video starts and one when it ends."""

    def __init__(self, console: Console, count: int) -> None:
        self.console = console
        self.count = count
        self.done = 0

    def __call__(self, state: TaskState) -> None:
        self.done += state.result is not None
        if state.progress is None:
            self.note(f"[{self.done}/{self.count}] {progress_line(state)}")

    def note(self, text: str) -> None:
        self.console.print(Text(redact(text)))


class LiveBatchDisplay(PlainBatchDisplay):
    """Print the same, with a live line for each running video below."""

    def __init__(self, console: Console, count: int) -> None:
        super().__init__(console, count)
        self._running: dict[str, TaskState] = {}
        self.live = self._live = Live(console=console, transient=True, auto_refresh=False)

    def __call__(self, state: TaskState) -> None:
        super().__call__(state)
        self._running.pop(state.worker, None)
        if state.result is None and state.worker:
            self._running[state.worker] = state
        self._live.update(
            Group(*(Text(redact(progress_line(each))) for each in self._running.values())), refresh=True
        )


class JsonBatchDisplay(BatchDisplay):
    """Print JSON lines: `started` and `progress` of a video, then `video` with its `status`."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, state: TaskState) -> None:
        name, progress = state.planned.task.name, state.progress
        if state.result is not None:
            print_json_line(self.console, "video", result_fields(state))
        elif progress is not None:
            frames = {"frames": progress.frames, "total": progress.total, "fps": round(progress.fps, 2)}
            print_json_line(self.console, "progress", {"video": name, "worker": state.worker, **frames})
        else:
            print_json_line(
                self.console, "started", {"video": name, "worker": state.worker, "tries": state.attempts}
            )

    def note(self, text: str) -> None:
        print_json_line(self.console, "note", {"message": text})


def choose_batch_display(
    *, quiet: bool, as_json: bool, out: Console, err: Console, count: int
) -> BatchDisplay:
    """Choose the display for the flags and the terminal."""
    if as_json:
        return JsonBatchDisplay(out)
    if quiet:
        return BatchDisplay()
    return LiveBatchDisplay(err, count) if err.is_terminal else PlainBatchDisplay(err, count)
