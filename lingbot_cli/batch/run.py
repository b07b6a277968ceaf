"""One run of a batch: shard, skip finished videos, schedule the rest."""

from collections.abc import Callable, Sequence

from lingbot_cli.batch.batch_display import BatchDisplay
from lingbot_cli.batch.manifest import Manifest
from lingbot_cli.batch.planner import PlannedTask
from lingbot_cli.batch.scheduler import Scheduler, SchedulerOptions, TaskState, WorkerPool
from lingbot_cli.batch.task_runner import TaskResult
from lingbot_cli.batch.tasks import Task
from lingbot_cli.errors import UsageError
from lingbot_cli.files import find_stream
from lingbot_cli.render.resume_store import ResumeStore
from lingbot_cli.sinks.output_paths import check_distinct
from lingbot_cli.ui.signals import StopRequest


def select_shard(tasks: Sequence[Task], shard: str) -> list[Task]:
    """Return the I-th of N shards of the tasks, `I/N` from 1, interleaved. Errors: UsageError."""
    numbers = shard.split("/")
    if len(numbers) == 2 and all(each.isascii() and each.isdigit() and len(each) < 6 for each in numbers):
        index, count = map(int, numbers)
        if 1 <= index <= count:
            return list(tasks[index - 1 :: count])
    raise UsageError(f"--shard {shard}: not a shard", hint="write I/N with I from 1 to N, for example 2/8")


def check_outputs(tasks: Sequence[Task], manifest: Manifest) -> None:
    """Refuse videos that are one file by a link, or no file at all. Errors: UsageError."""
    paths = [manifest.path(task.name) for task in tasks]
    check_distinct(map(str, paths), option="output")
    for path in paths:
        if find_stream(path) is not None:
            raise UsageError(f"{path} is a pipe or a device, not a file", hint="choose another output")


def initial_states(planned: Sequence[PlannedTask], manifest: Manifest) -> list[TaskState]:
    """Return a state for each task, with a result for those that are finished or cannot be rendered."""
    return [TaskState(each, _known_result(each, manifest)) for each in planned]


def _known_result(planned: PlannedTask, manifest: Manifest) -> TaskResult | None:
    if planned.error is not None:
        return TaskResult("failed", str(planned.error), planned.error.hint, planned.error.exit_code)
    entry = manifest.find(planned.task.name, planned.fingerprint)
    if entry is None:
        return None
    return TaskResult("skipped", frames=entry["frames"], latents=entry["latents"])


def remove_stale_resume(states: Sequence[TaskState], manifest: Manifest) -> None:
    """Remove the resume folders of finished videos, left by a run that was killed before it could."""
    for state in states:
        if state.result is not None and state.result.status == "skipped":
            ResumeStore.for_output(str(manifest.path(state.planned.task.name))).clear_unless_locked()


def run_batch(
    states: Sequence[TaskState],
    make_pool: Callable[[int], WorkerPool],
    options: SchedulerOptions,
    display: BatchDisplay,
) -> int | None:
    """Render every video without a result; return the number of the signal that ended the run early, if any.

    `make_pool` gets the number of videos to render; it is not called for none.
    """
    for state in states:
        if state.result is not None:
            display(state)
    waiting = sum(state.result is None for state in states)
    if not waiting:
        return None
    with StopRequest(display.note).handling() as stopped, display.live:
        stopped.graceful = True
        Scheduler(states, make_pool(waiting), options, display, stopped).run()
    return stopped.number
