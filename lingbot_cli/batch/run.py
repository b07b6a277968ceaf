"""A whole run of a farm, from the plan to the last film."""

from collections.abc import Callable, Sequence

from lingbot_cli.batch.display import BatchDisplay
from lingbot_cli.batch.manifest import Manifest
from lingbot_cli.batch.planner import PlannedTask
from lingbot_cli.batch.scheduler import Scheduler, SchedulerOptions, TaskState
from lingbot_cli.batch.tasks import Task
from lingbot_cli.batch.worker import TaskResult
from lingbot_cli.batch.workers import WorkerPool
from lingbot_cli.errors import UsageError
from lingbot_cli.render.resume_store import Trail
from lingbot_cli.ui.signals import StopRequest


def select_shard(tasks: Sequence[Task], shard: str) -> list[Task]:
    """The I-th of N parts of the tasks, `I/N` counted from 1; neighbours go to different parts."""
    numbers = shard.split("/")
    if len(numbers) == 2 and all(each.isascii() and each.isdigit() and len(each) < 6 for each in numbers):
        index, count = map(int, numbers)
        if 1 <= index <= count:
            return list(tasks[index - 1 :: count])
    raise UsageError(f"--shard {shard}: not a part", hint="write I/N with I from 1 to N, for example 2/8")


def initial_states(planned: Sequence[PlannedTask], shelf: Manifest) -> list[TaskState]:
    """A row for each film; those that are finished or cannot be made have their outcome already."""
    return [TaskState(each, _known_result(each, shelf)) for each in planned]


def _known_result(planned: PlannedTask, shelf: Manifest) -> TaskResult | None:
    if planned.error is not None:
        return TaskResult("failed", str(planned.error), planned.error.hint, planned.error.exit_code)
    note = shelf.find(planned.task.name, planned.recipe)
    if note is None:
        return None
    return TaskResult("there", frames=note["frames"], latents=note["latents"])


def remove_stale_resume(rows: Sequence[TaskState], shelf: Manifest) -> None:
    """Remove what was kept to go on with films that are finished: their run was killed just before it could."""
    for row in rows:
        if row.result is not None and row.result.status == "there":
            Trail.beside(str(shelf.path(row.planned.task.name))).sweep()


def run_batch(
    rows: Sequence[TaskState], crew: Callable[[int], WorkerPool], rules: SchedulerOptions, watch: BatchDisplay
) -> int | None:
    """Make every film of `rows` that has no result; return the number of the signal that ended it early, if any.

    `crew` gathers hands for so many films at most; with none to make, nobody is called.
    """
    for row in rows:
        if row.result is not None:
            watch(row)
    waiting = sum(row.result is None for row in rows)
    if not waiting:
        return None
    with StopRequest(watch.note).handling() as stopped, watch.live:
        stopped.graceful = True
        Scheduler(rows, crew(waiting), rules, watch, stopped).run()
    return stopped.number
