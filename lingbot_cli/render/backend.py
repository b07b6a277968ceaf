"""Backends of a render: the model in this process, alone or as one of a process group; a server is in `remote`."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lingbot_cli.render.chunk_plan import NO_SAVED_CHUNKS, ChunkTask, SavedChunks, resume_tasks
from lingbot_cli.render.multi_gpu import ProcessGroup
from lingbot_cli.render.pipeline import RenderedChunk, RenderResult, run_pipeline
from lingbot_cli.render.preflight import check_backends, check_memory, pick_device_name
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.runtime.autotune import Tuning, apply_tuning, choose_tuning
from lingbot_cli.runtime.load_model import compile_model, load_model, load_progress
from lingbot_cli.runtime.model_options import pick_precision
from lingbot_cli.sinks.base import Sink
from lingbot_cli.ui.display import Display
from lingbot_cli.ui.signals import ignoring_signals

if TYPE_CHECKING:
    from lingbot_cli.model.session import Session
    from lingbot_cli.model.world_model import WorldModel

LoadPrepared = Callable[[PreparedVideo], "WorldModel"]
OnTask = Callable[[ChunkTask], None]
SaveChunk = Callable[[RenderedChunk], None]


class Backend:
    """Computes the frames of one video. The methods are called once each, in this order.

    Those of this base are for a model that is elsewhere, and whose tuning and precision are not known here.
    """

    @property
    def measures_speed(self) -> bool:
        """True when the run's speed predicts the next one's on this machine."""
        return False

    def preflight(self) -> None:
        """Raise every error that can be known before loading."""

    def choose_tuning(self, previous: Tuning | None) -> Tuning | None:  # noqa: ARG002
        """Return kernel and threads, those of a `previous` run first; None where they are not known."""
        return None

    def precision(self) -> str | None:
        """Return the transformer's precision; None where it is not known."""
        return None

    def load(self, display: Display) -> None:
        """Load and compile the model."""

    def run(
        self,
        saved: SavedChunks,
        sink: Sink,
        stopped: Callable[[], bool],
        on_task: OnTask,
        save_chunk: SaveChunk | None,
    ) -> RenderResult:
        """Render into an open sink until the video is complete or `stopped`; the frames of `saved` are written."""
        raise NotImplementedError

    def finish(self) -> None:
        """Disconnect from other processes."""


def choose_backend(
    prepared: PreparedVideo,
    display: Display,
    *,
    load: LoadPrepared | None = None,
    group: ProcessGroup | None = None,
) -> Backend:
    """Return the backend of a video; `load` may return a loaded model and checks memory itself."""
    if prepared.request.remote is not None:
        from lingbot_cli.render.remote import RemoteBackend

        return RemoteBackend(prepared.request.remote, prepared, display.warning)
    return LocalBackend(prepared, load, group)


@dataclass(frozen=True)
class LocalRender:
    """A prepared video and its loaded model; `phase` times the session's phases.

    `decode_batch`: latents decoded in one call, None for as many as any device takes.
    """

    prepared: PreparedVideo
    model: "WorldModel"
    phase: Callable[[str], AbstractContextManager[object]] = nullcontext
    decode_batch: int | None = None

    def start_session(self, cut: Path | None) -> "Session":
        """Return a new session of the video's first scene, or of a cut's."""
        from lingbot_cli.model.session import Session

        plan = self.prepared.plan
        return Session(
            self.model,
            self.prepared.images[cut],
            height=plan.height,
            width=plan.width,
            seed=plan.seed,
            scale=plan.scale,
            phase=self.phase,
            decode_batch=self.decode_batch,
        )

    def compile(self, display: Display) -> None:
        """Compile the model's blocks where the options or the device ask for it."""
        plan, options = self.prepared.plan, self.prepared.request.options
        compile_model(self.model, options, plan.height, plan.width, note=display.note, warn=display.warning)

    def scene_warnings(self) -> list[str]:
        """Return a warning for every first image that does not show the scene the model was trained on."""
        from lingbot_cli.model.trained_scene import shows_trained_scene

        return [
            f"{path or self.prepared.request.image} does not show the courtyard this model was trained on; "
            "the video will drift away from it"
            for path, image in self.prepared.images.items()
            if not shows_trained_scene(self.model, image)
        ]

    def tasks(self, saved: SavedChunks = NO_SAVED_CHUNKS) -> Sequence[ChunkTask]:
        """Return the video's chunk tasks after what earlier runs saved."""
        saved = replace(saved, frames=self.prepared.first_frame + saved.frames)
        model = self.model
        return resume_tasks(self.prepared.controls, saved, model.preset, model.decoder_receptive_field)


class LocalBackend(Backend):
    """Renders with a model in this process; `load` replaces loading, and then checks memory itself.

    With a `group` this process is one of several: the leader chooses the tuning and when to stop.
    """

    def __init__(
        self, prepared: PreparedVideo, load: LoadPrepared | None = None, group: ProcessGroup | None = None
    ) -> None:
        self.prepared = prepared
        self._load = load
        self._group = group
        self._decode_batch: int | None = None
        self._tuning: Tuning | None = None
        self._render: LocalRender | None = None

    @property
    def measures_speed(self) -> bool:
        return self._load is None

    def preflight(self) -> None:
        if self._load is None:
            self._decode_batch = check_memory(self.prepared).decode_batch
            check_backends(self.prepared)

    def choose_tuning(self, previous: Tuning | None) -> Tuning | None:
        options, plan, group = self.prepared.request.options, self.prepared.plan, self._group
        choose = partial(
            choose_tuning, self.prepared.checkpoint, options, plan.height, plan.width, previous=previous
        )
        if group is None:
            self._tuning = choose()
        else:
            group.connect(options.device)
            self._tuning = group.broadcast(partial(choose, processes=group.size))
        return self._tuning

    def precision(self) -> str:
        options = self.prepared.request.options
        device = pick_device_name(options.device)
        return pick_precision(self.prepared.checkpoint.fp8, device, options.precision)

    def load(self, display: Display) -> None:
        for warning in self.load_render(display).scene_warnings():
            display.warning(warning)

    def run(
        self,
        saved: SavedChunks,
        sink: Sink,
        stopped: Callable[[], bool],
        on_task: OnTask,
        save_chunk: SaveChunk | None,
    ) -> RenderResult:
        assert self._render is not None, "the model is not loaded"
        return run_pipeline(
            self._render.tasks(saved),
            self._render.start_session,
            sink,
            stopped=stopped if self._group is None else self._group.shared_stop(stopped),
            on_chunk=lambda chunk: on_task(chunk.task),
            save_chunk=save_chunk,
        )

    def finish(self) -> None:
        if self._group is not None:
            self._group.disconnect()

    def load_render(self, display: Display) -> LocalRender:
        """Load, tune and compile the model."""
        prepared = self.prepared
        assert self._tuning is not None, "no tuning is chosen"
        if self._load is not None:
            model = self._load(prepared)
        else:
            report = load_progress(display.note)
            model = load_model(prepared.checkpoint, prepared.request.options, prepared.prompts, report)
        model = apply_tuning(model if self._group is None else self._group.shard(model), self._tuning)
        self._render = LocalRender(prepared, model, decode_batch=self._decode_batch)
        self._render.compile(display)
        return self._render


def render_as_follower(prepared: PreparedVideo, group: ProcessGroup) -> None:
    """Denoise a follower's share of the video; only the leader handles signals, shows progress and writes."""
    with ignoring_signals():
        backend = LocalBackend(prepared, group=group)
        backend.choose_tuning(None)
        render = backend.load_render(Display())
        group.follow(render.tasks(), render.start_session)
