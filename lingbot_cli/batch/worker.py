"""Makes one film after the other; a world stays loaded for the next film of the same model."""

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
from lingbot_cli.render.fingerprint import facts, told
from lingbot_cli.render.render import perform
from lingbot_cli.render.request import Prepared
from lingbot_cli.render.resume import Keeping
from lingbot_cli.render.resume_store import Trail
from lingbot_cli.runtime.load_model import load
from lingbot_cli.sinks.factory import choose_sinks
from lingbot_cli.ui.display import Display
from lingbot_cli.ui.progress import Progress

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel


@dataclass(frozen=True)
class TaskResult:
    """How a task ended. `status`: made, there (finished before), failed, late, stopped or lost."""

    status: str
    message: str = ""
    hint: str | None = None
    exit_code: int = 0
    frames: int = 0
    seconds: float = 0.0
    latents: str = ""


OnProgress = Callable[[Progress], None]
"""Hears how far the film in work has come."""


class ProgressDisplay(Display):
    """Passes chunks on and is silent about the rest."""

    def __init__(self, tell: OnProgress) -> None:
        self._tell = tell

    def chunk(self, progress: Progress) -> None:
        self._tell(progress)


@dataclass
class TaskRunner:
    """One device and the world on it; `device` replaces what the machine would choose."""

    folder: Path
    device: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def __post_init__(self) -> None:
        self._preparer = TaskPreparer()
        self._loaded: tuple[object, WorldModel] | None = None

    def run(self, task: Task, tell: OnProgress) -> TaskResult:
        """Make a film, going on from what an earlier run left of it; whatever fails is the outcome."""
        began = time.monotonic()
        try:
            return self._run(task, tell, began)
        except LingbotError as error:
            status = "stopped" if error.exit_code > 128 else "failed"
            return TaskResult(
                status, str(error), error.hint, error.exit_code, seconds=time.monotonic() - began
            )
        except MemoryError:
            return TaskResult("failed", "not enough memory", None, 6, seconds=time.monotonic() - began)
        except Exception as bug:  # one film's bug is not the end of the others
            said = f"a bug in lingbot: {type(bug).__name__}: {bug}"
            return TaskResult("failed", said, None, 1, seconds=time.monotonic() - began)

    def _run(self, task: Task, tell: OnProgress, began: float) -> TaskResult:
        prepared = self._preparer.prepare(task.request)
        shelf, name = Manifest(self.folder), video_fingerprint(task, prepared)
        path = str(shelf.path(task.name))
        shelf.make_folder(task.name)
        # A film that is made elsewhere leaves no latents here to go on from.
        keeping = None if task.request.remote is not None else _resume_options(Trail.beside(path), prepared)
        whole = keeping is not None and _complete(keeping, prepared)
        options = replace(
            task.options,
            overwrite=task.options.overwrite or whole,
            keep=keeping.trail.written if keeping is not None else None,
        )
        sink = choose_sinks([path], options, self.environ)
        written = {"quality": options.quality, "codec": options.codec, "crf": options.crf}
        made = perform(
            prepared,
            sink,
            ProgressDisplay(tell),
            written=written,
            clock=time.monotonic,
            keeping=keeping,
            loaded=self._load,
        )
        seconds = time.monotonic() - began
        shelf.record(
            task.name, {"recipe": name, "frames": made.frames, "latents": made.latents, "seconds": seconds}
        )
        if keeping is not None:
            keeping.trail.clear()
        return TaskResult("made", frames=made.frames, seconds=seconds, latents=made.latents)

    def _load(self, prepared: Prepared) -> "WorldModel":
        """The world of a film: the one that is loaded when it fits, else the old one leaves first."""
        from lingbot_cli.model.device import pick_device
        from lingbot_cli.model.loading.load import cached_prompt_encoder
        from lingbot_cli.render.memory import check_memory

        request, checkpoint = prepared.request, prepared.here
        key = (
            checkpoint.identity,
            checkpoint.text_identity,
            checkpoint.preset,
            request.options.precision,
            request.options.run_settings(),
        )
        if self._loaded is not None and self._loaded[0] == key:
            text = cached_prompt_encoder(
                checkpoint, pick_device("cpu"), None
            )  # its encoder leaves memory with it
            for prompt in prepared.prompts:
                text.encode(prompt)
            return self._loaded[1]
        self._loaded = None
        options = replace(request.options, device=self.device or request.options.device)
        check_memory(replace(prepared, request=replace(request, options=options)))
        world = load(checkpoint, options, prepared.prompts)
        self._loaded = key, world
        return world


def _resume_options(trail: Trail, prepared: Prepared) -> Keeping:
    """Go on from what is there when it is of this film, else begin anew; the trail stays until the film is noted."""
    try:
        trail.past(facts(prepared), told(prepared))
    except UsageError:
        return Keeping(trail, stay=True, anew=True)
    return Keeping(trail, "exact", stay=True)


def _complete(keeping: Keeping, prepared: Prepared) -> bool:
    """Whether every chunk is kept: then what has the film's name is this film, or what it was to replace."""
    return keeping.resume is not None and keeping.trail.chunks() >= len(prepared.controls)
