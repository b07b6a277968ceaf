"""A whole run of a farm, from the plan to the last film."""

from collections.abc import Callable, Sequence

from lingbot_cli.batch.display import Watch
from lingbot_cli.batch.manifest import Shelf
from lingbot_cli.batch.planner import Planned
from lingbot_cli.batch.scheduler import Farm, Row, Rules
from lingbot_cli.batch.tasks import Task
from lingbot_cli.batch.worker import Outcome
from lingbot_cli.batch.workers import Crew
from lingbot_cli.errors import UsageError
from lingbot_cli.render.resume_store import Trail
from lingbot_cli.ui.signals import StopRequest


def part(tasks: Sequence[Task], shard: str) -> list[Task]:
    """The I-th of N parts of the tasks, `I/N` counted from 1; neighbours go to different parts."""
    numbers = shard.split("/")
    if len(numbers) == 2 and all(each.isascii() and each.isdigit() and len(each) < 6 for each in numbers):
        index, count = map(int, numbers)
        if 1 <= index <= count:
            return list(tasks[index - 1 :: count])
    raise UsageError(f"--shard {shard}: not a part", hint="write I/N with I from 1 to N, for example 2/8")


def rows_of(planned: Sequence[Planned], shelf: Shelf) -> list[Row]:
    """A row for each film; those that are finished or cannot be made have their outcome already."""
    return [Row(each, _known(each, shelf)) for each in planned]


def _known(planned: Planned, shelf: Shelf) -> Outcome | None:
    if planned.error is not None:
        return Outcome("failed", str(planned.error), planned.error.hint, planned.error.exit_code)
    note = shelf.done(planned.task.name, planned.recipe)
    if note is None:
        return None
    return Outcome("there", frames=note["frames"], latents=note["latents"])


def sweep(rows: Sequence[Row], shelf: Shelf) -> None:
    """Remove what was kept to go on with films that are finished: their run was killed just before it could."""
    for row in rows:
        if row.outcome is not None and row.outcome.status == "there":
            Trail.beside(str(shelf.path(row.planned.task.name))).sweep()


def run(rows: Sequence[Row], crew: Callable[[int], Crew], rules: Rules, watch: Watch) -> int | None:
    """Make every film of `rows` that has no outcome; the number of the signal that ended it early, if one did.

    `crew` gathers hands for so many films at most; with none to make, nobody is called.
    """
    for row in rows:
        if row.outcome is not None:
            watch(row)
    waiting = sum(row.outcome is None for row in rows)
    if not waiting:
        return None
    with StopRequest(watch.note).handling() as stopped, watch.live:
        stopped.graceful = True
        Farm(rows, crew(waiting), rules, watch, stopped).run()
    return stopped.number
