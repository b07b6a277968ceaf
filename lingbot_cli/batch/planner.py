"""What a farm is going to make, known before any weights are loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from lingbot_cli.batch.tasks import Task
from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.errors import LingbotError, UsageError
from lingbot_cli.render.fingerprint import recipe
from lingbot_cli.render.memory import setup_of
from lingbot_cli.render.metadata import file_hash
from lingbot_cli.render.request import DEFAULT_SEED, Prepared, Request, prepare
from lingbot_cli.runtime.hardware import free_gpus
from lingbot_cli.runtime.memory import estimate
from lingbot_cli.timeline.diagnostics import TimelineError


@dataclass(frozen=True)
class PlannedTask:
    """A task and what its film will be, or the `error` why it cannot be made.

    `memory` is the most bytes that its device will hold at once.
    """

    task: Task
    frames: int = 0
    chunks: int = 0
    fps: int = 16
    size: str = ""
    seed: int = 0
    recipe: str = ""
    memory: int = 0
    error: LingbotError | None = None


class TaskPreparer:
    """Prepares tasks that follow each other; those that differ in the seed alone share the work."""

    def __init__(self) -> None:
        self._checkpoint = lru_cache(maxsize=8)(read_checkpoint)
        self._seedless = lru_cache(maxsize=1)(self._prepare)

    def _prepare(self, request: Request) -> Prepared:
        if request.remote is not None:
            return prepare(request)
        return prepare(request, checkpoint=self._checkpoint(request.options.model, request.options.assets))

    def prepare(self, request: Request) -> Prepared:
        """What `prepare` gives."""
        prepared = self._seedless(replace(request, seed=None))
        if request.seed is None:
            return prepared
        planned = replace(prepared.plan, seed=request.seed)
        return replace(prepared, request=replace(prepared.request, seed=request.seed), plan=planned)


def plan_tasks(tasks: Sequence[Task]) -> list[PlannedTask]:
    """Every task planned; UsageError with the errors of all timelines, each said once."""
    preparer, planned, wrong = TaskPreparer(), [], {}
    device = "cuda" if free_gpus() else "cpu"  # asked once: asking takes a while
    for task in tasks:
        try:
            planned.append(_plan_task(task, preparer.prepare(task.request), device))
        except TimelineError as error:
            wrong[str(error)] = error
        except LingbotError as error:
            planned.append(PlannedTask(task, seed=task.request.seed or DEFAULT_SEED, error=error))
    if wrong:
        raise UsageError("\n".join(wrong))
    return planned


def _plan_task(task: Task, prepared: Prepared, device: str) -> PlannedTask:
    plan = prepared.plan
    size = f"{plan.width}x{plan.height}"
    setup = setup_of(prepared, prepared.request.options.device or device)
    task = replace(task, request=prepared.request)  # what --fast takes here is taken wherever it is made
    return PlannedTask(
        *(task, plan.frames, len(plan.chunks), plan.fps, size, plan.seed, video_fingerprint(task, prepared)),
        memory=estimate(prepared.checkpoint.preset, setup).peak,
    )


def video_fingerprint(task: Task, prepared: Prepared) -> str:
    """A short name for a film file: its latents and how they are written."""
    options, tiny = task.options, prepared.request.options.tiny_decoder
    name = f"{recipe(prepared)}-{options.quality}-{options.codec}-{options.crf}"
    return name if tiny is None else f"{name}-{file_hash(Path(tiny))[:16]}"
