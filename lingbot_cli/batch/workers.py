"""What a farm needs of whoever makes its films, wherever they work."""

from typing import Protocol

from lingbot_cli.batch.tasks import Task
from lingbot_cli.batch.worker import TaskResult
from lingbot_cli.ui.progress import Progress

WorkerEvent = Progress | TaskResult
"""What a hand says of the film in work: how far it is or, once and last, how it ended."""


class Worker(Protocol):
    """Makes one film at a time. A hand that is lost says so with an Outcome of the status `lost`."""

    name: str

    def ready(self) -> bool:
        """Whether it can begin a film; asking calls it to its place, which on a cluster may take a while."""

    def start(self, task: Task) -> None:
        """Begin a film; only when no other is in work."""

    def poll_events(self) -> list[WorkerEvent]:
        """What has happened since the last time; never waits."""

    def stop(self) -> None:
        """Ask for the film in work to end after its chunk."""

    def end(self) -> None:
        """End now, with what it is doing; what was committed is kept. It can be started again."""


class WorkerPool(Protocol):
    """The hands of a farm."""

    workers: list[Worker]

    def wait(self, seconds: float) -> None:
        """Return when there may be news, at the latest after so long."""

    def close(self) -> None:
        """Send everyone home."""
