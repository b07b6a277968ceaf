"""Runner of tasks on one device; the model stays loaded for the next task that uses it."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lingbot_cli.batch.manifest import Manifest
from lingbot_cli.batch.planner import TaskPreparer, video_fingerprint
from lingbot_cli.batch.tasks import Task
from lingbot_cli.errors import LingbotError, UsageError
from lingbot_cli.render.fingerprint import chunk_fingerprints, render_fingerprint
from lingbot_cli.render.render import render_video
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.render.resume import ResumeOptions
from lingbot_cli.render.resume_store import ResumeStore
from lingbot_cli.runtime.load_model import load_model
from lingbot_cli.sinks.factory import choose_sinks
from lingbot_cli.ui.display import Display
from lingbot_cli.ui.progress import Progress

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel


@dataclass(frozen=True)
class TaskResult:
    """Result of a task. `status`: rendered, skipped (finished before), failed, timeout, stopped or crashed."""

    status: str
    message: str = ""
    hint: str | None = None
    exit_code: int = 0
    frames: int = 0
    seconds: float = 0.0
    latents: str = ""


OnProgress = Callable[[Progress], None]
"""Called with the progress of the current task."""


class ProgressDisplay(Display):
    """Pass the progress of chunks on; show nothing."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress

    def chunk(self, progress: Progress) -> None:
        self._on_progress(progress)


@dataclass
class TaskRunner:
    """One device and the model loaded on it; `device` overrides the default device."""

    folder: Path
    device: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def __post_init__(self) -> None:
        self._preparer = TaskPreparer()
        self._loaded: tuple[object, WorldModel] | None = None

    def run(self, task: Task, on_progress: OnProgress) -> TaskResult:
        """Render a task, resumed from an earlier run where possible; a failure becomes the result."""
        started = time.monotonic()
        try:
            return self._run(task, on_progress, started)
        except LingbotError as error:
            status = "stopped" if error.exit_code > 128 else "failed"
            failure = TaskResult(status, str(error), error.hint, error.exit_code)
        except MemoryError:
            failure = TaskResult("failed", "not enough memory", None, 6)
        except Exception as bug:  # a bug in one video must not end the batch
            failure = TaskResult("failed", f"bug in lingbot: {type(bug).__name__}: {bug}", None, 1)
        return replace(failure, seconds=time.monotonic() - started)

    def _run(self, task: Task, on_progress: OnProgress, started: float) -> TaskResult:
        prepared = self._preparer.prepare(task.request)
        manifest, fingerprint = Manifest(self.folder), video_fingerprint(task, prepared)
        path = str(manifest.path(task.name))
        manifest.make_folder(task.name)
        # A remote model leaves no latents here to resume from.
        keeping = (
            None
            if task.request.remote is not None
            else _resume_options(ResumeStore.for_output(path), prepared)
        )
        # With every chunk saved the output is this video, or the one it was to replace.
        complete = (
            keeping is not None
            and keeping.resume is not None
            and keeping.store.count_chunks() >= len(prepared.controls)
        )
        options = replace(
            task.options,
            overwrite=task.options.overwrite or complete,
            resume_dir=keeping.store.outputs if keeping is not None else None,
        )
        sink = choose_sinks([path], options, self.environ)
        written = {"quality": options.quality, "codec": options.codec, "crf": options.crf}
        made = render_video(
            prepared,
            sink,
            ProgressDisplay(on_progress),
            encoding=written,
            clock=time.monotonic,
            resume=keeping,
            load=self._load,
        )
        seconds = time.monotonic() - started
        manifest.record(
            task.name,
            {"recipe": fingerprint, "frames": made.frames, "latents": made.latents, "seconds": seconds},
        )
        if keeping is not None:
            keeping.store.clear()
        return TaskResult("rendered", frames=made.frames, seconds=seconds, latents=made.latents)

    def _load(self, prepared: PreparedVideo) -> "WorldModel":
        """Return the model of a task; unload the current one first when the task needs another."""
        from lingbot_cli.model.device import pick_device
        from lingbot_cli.model.loading.load_text import cached_prompt_encoder
        from lingbot_cli.render.preflight import check_memory

        request, checkpoint = prepared.request, prepared.checkpoint
        key = (
            checkpoint.identity,
            checkpoint.text_identity,
            checkpoint.preset,
            request.options.precision,
            request.options.run_settings(),
        )
        if self._loaded is not None and self._loaded[0] == key:
            text = cached_prompt_encoder(checkpoint, pick_device("cpu"), None)  # freed after use
            for prompt in prepared.prompts:
                text.encode(prompt)
            return self._loaded[1]
        self._loaded = None
        options = replace(request.options, device=self.device or request.options.device)
        check_memory(replace(prepared, request=replace(request, options=options)))
        world = load_model(checkpoint, options, prepared.prompts)
        self._loaded = key, world
        return world


def _resume_options(store: ResumeStore, prepared: PreparedVideo) -> ResumeOptions:
    """Resume where the resume folder is of this video, else start over; keep it until the manifest has the video."""
    try:
        store.load(render_fingerprint(prepared), chunk_fingerprints(prepared))
    except UsageError:
        return ResumeOptions(store, keep_latents=True, overwrite=True)
    return ResumeOptions(store, "exact", keep_latents=True)
