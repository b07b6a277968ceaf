"""Plan of every task: size, length, memory and fingerprint, before any weights are loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from lingbot_cli.batch.tasks import Task
from lingbot_cli.checkpoints.checkpoint import Checkpoint, read_checkpoint
from lingbot_cli.errors import LingbotError, UsageError
from lingbot_cli.render.fingerprint import video_hash
from lingbot_cli.render.metadata import sha256_file
from lingbot_cli.render.preflight import memory_setup
from lingbot_cli.render.request import DEFAULT_SEED, PreparedVideo, Request, prepare
from lingbot_cli.runtime.hardware import free_gpus
from lingbot_cli.runtime.memory import estimate_memory
from lingbot_cli.sinks.resample import rate_notes
from lingbot_cli.timeline.diagnostics import TimelineError


@dataclass(frozen=True)
class PlannedTask:
    """A task with the plan of its video, or the `error` that prevents it.

    `memory`: peak bytes on its device. `fingerprint`: equal for equal videos.
    """

    task: Task
    frames: int = 0
    chunks: int = 0
    fps: float = 16
    size: str = ""
    seed: int = 0
    fingerprint: str = ""
    memory: int = 0
    error: LingbotError | None = None
    warnings: tuple[str, ...] = ()


class TaskPreparer:
    """Prepare tasks one after another; consecutive tasks that differ in the seed alone share the work."""

    def __init__(self) -> None:
        self._checkpoint = lru_cache(maxsize=8)(read_checkpoint)
        self._seedless = lru_cache(maxsize=1)(self._prepare)

    def _prepare(self, request: Request) -> PreparedVideo:
        if request.remote is not None:
            return prepare(request)
        options = request.options
        checkpoint = self._checkpoint(options.model, options.assets, options.preset, options.text_encoder)
        return prepare(request, checkpoint=checkpoint)

    def prepare(self, request: Request) -> PreparedVideo:
        """Prepare a request, as `render.request.prepare` does."""
        prepared = self._seedless(replace(request, seed=None))
        if request.seed is None:
            return prepared
        planned = replace(prepared.plan, seed=request.seed)
        return replace(prepared, request=replace(prepared.request, seed=request.seed), plan=planned)


def plan_tasks(tasks: Sequence[Task]) -> list[PlannedTask]:
    """Plan every task. Errors: UsageError with the errors of all timelines, each once."""
    preparer, planned, timeline_errors = TaskPreparer(), [], {}
    device = "cuda" if free_gpus() else "cpu"  # once for all tasks: the query is slow
    for task in tasks:
        try:
            planned.append(_plan_task(task, preparer.prepare(task.request), device))
        except TimelineError as error:
            timeline_errors[str(error)] = error
        except LingbotError as error:
            planned.append(PlannedTask(task, seed=task.request.seed or DEFAULT_SEED, error=error))
    if timeline_errors:
        raise UsageError("\n".join(timeline_errors))
    return planned


def _plan_task(task: Task, prepared: PreparedVideo, device: str) -> PlannedTask:
    plan = prepared.plan
    setup = memory_setup(prepared, prepared.request.options.device or device)
    task = replace(task, request=prepared.request)  # fast mode is resolved here for every worker
    return PlannedTask(
        task,
        frames=plan.frames,
        chunks=len(plan.chunks),
        fps=plan.fps,
        size=f"{plan.width}x{plan.height}",
        seed=plan.seed,
        fingerprint=video_fingerprint(task, prepared),
        memory=estimate_memory(prepared.model.preset, setup).peak,
        warnings=(*prepared.warnings, *rate_notes([task.name], plan.fps)),
    )


def video_fingerprint(task: Task, prepared: PreparedVideo) -> str:
    """Return a short text that is equal for equal video files: same latents, decoder and encoding."""
    options = task.options
    decoder = prepared.model.decoder if isinstance(prepared.model, Checkpoint) else None
    digest = None if decoder is None else sha256_file(decoder)[:16]
    parts = (video_hash(prepared), options.quality, options.codec, options.crf, digest)
    return "-".join(str(part) for part in parts if part is not None)
