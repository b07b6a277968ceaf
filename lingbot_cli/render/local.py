"""Local backends of a render: the model in this process, alone or as one of a process group."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lingbot_cli.render.backend import LoadPrepared, OnTask, SaveChunk
from lingbot_cli.render.chunk_plan import NO_SAVED_CHUNKS, ChunkTask, SavedChunks, resume_tasks
from lingbot_cli.render.multi_gpu import ProcessGroup
from lingbot_cli.render.pipeline import RenderResult, run_pipeline
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
        from lingbot_cli.model.scene_check import shows_trained_scene

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


class LocalBackend:
    """Renders with a model in this process; `load` replaces loading, and then checks memory itself."""

    def __init__(self, prepared: PreparedVideo, load: LoadPrepared | None = None) -> None:
        self.prepared = prepared
        self._load = load
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
        self._tuning = self._choose(previous, processes=1)
        return self._tuning

    def precision(self) -> str:
        options = self.prepared.request.options
        device = pick_device_name(options.device)
        return pick_precision(self.prepared.checkpoint.fp8, device, options.precision)

    def load(self, display: Display) -> None:
        self._render = self.load_render(display)
        for warning in self._render.scene_warnings():
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
            stopped=stopped,
            on_chunk=lambda chunk: on_task(chunk.task),
            save_chunk=save_chunk,
        )

    def finish(self) -> None:
        return None

    def load_render(self, display: Display) -> LocalRender:
        """Load, tune and compile the model."""
        assert self._tuning is not None, "no tuning is chosen"
        model = apply_tuning(self._place(self._load_model(display)), self._tuning)
        render = LocalRender(self.prepared, model, decode_batch=self._decode_batch)
        render.compile(display)
        return render

    def _load_model(self, display: Display) -> "WorldModel":
        prepared = self.prepared
        if self._load is not None:
            return self._load(prepared)
        report = load_progress(display.note)
        return load_model(prepared.checkpoint, prepared.request.options, prepared.prompts, report)

    def _place(self, model: "WorldModel") -> "WorldModel":
        return model

    def _choose(self, previous: Tuning | None, processes: int) -> Tuning:
        prepared, plan = self.prepared, self.prepared.plan
        return choose_tuning(
            prepared.checkpoint,
            prepared.request.options,
            plan.height,
            plan.width,
            processes=processes,
            previous=previous,
        )


class MultiGPUBackend(LocalBackend):
    """Renders as one process of a group; the leader chooses the tuning and when to stop."""

    def __init__(self, prepared: PreparedVideo, group: ProcessGroup) -> None:
        super().__init__(prepared)
        self._group = group

    def choose_tuning(self, previous: Tuning | None) -> Tuning | None:
        self._group.connect(self.prepared.request.options.device)
        self._tuning = self._group.broadcast(lambda: self._choose(previous, self._group.size))
        return self._tuning

    def run(
        self,
        saved: SavedChunks,
        sink: Sink,
        stopped: Callable[[], bool],
        on_task: OnTask,
        save_chunk: SaveChunk | None,
    ) -> RenderResult:
        return super().run(saved, sink, self._group.shared_stop(stopped), on_task, save_chunk)

    def finish(self) -> None:
        self._group.disconnect()

    def _place(self, model: "WorldModel") -> "WorldModel":
        return self._group.shard(model)


def render_as_follower(prepared: PreparedVideo, group: ProcessGroup) -> None:
    """Denoise a follower's share of the video; only the leader handles signals, shows progress and writes."""
    with ignoring_signals():
        backend = MultiGPUBackend(prepared, group)
        backend.choose_tuning(None)
        render = backend.load_render(Display())
        group.follow(render.tasks(), render.start_session)
