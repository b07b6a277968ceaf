"""A prepared film becomes a finished one, or ends well when it cannot."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingbot_cli.render.chunk_plan import NO_SAVED_CHUNKS, ChunkTask, SavedChunks, plan_chunks
from lingbot_cli.render.memory import pick_device_name
from lingbot_cli.render.metadata import container_metadata, make_recipe
from lingbot_cli.render.multi_gpu import ProcessGroup
from lingbot_cli.render.outcome import RenderSummary
from lingbot_cli.render.pipeline import RenderResult, run_pipeline
from lingbot_cli.render.preflight import preflight
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.render.resume import ResumeOptions, count_resumable_frames
from lingbot_cli.render.speed import save_speed
from lingbot_cli.runtime.autotune import Tuning, apply_tuning, choose_tuning
from lingbot_cli.runtime.load_model import compile_model, load_model
from lingbot_cli.runtime.loading import load_progress
from lingbot_cli.runtime.model_options import pick_precision
from lingbot_cli.sinks.base import Sink
from lingbot_cli.ui.display import Display, Report
from lingbot_cli.ui.progress import ProgressMeter
from lingbot_cli.ui.signals import StopRequest, ignoring_signals

if TYPE_CHECKING:
    from lingbot_cli.model.loading.tensor_io import OnLoadProgress
    from lingbot_cli.model.session import Session
    from lingbot_cli.model.world_model import WorldModel


@dataclass(frozen=True)
class LocalRender:
    """A world that is loaded and knows the first images of its scenes; `phase` measures its steps.

    `together` is how many latents are decoded in one call, None for as many as any device takes.
    """

    prepared: PreparedVideo
    world: "WorldModel"
    phase: Callable[[str], AbstractContextManager[object]] = nullcontext
    decode_batch: int | None = None

    def begin(self, cut: Path | None) -> "Session":
        """A fresh session of the film's first scene, or of a cut's."""
        from lingbot_cli.model.session import Session

        planned = self.prepared.plan
        image = self.prepared.images[cut]
        return Session(
            self.world,
            image,
            height=planned.height,
            width=planned.width,
            seed=planned.seed,
            scale=planned.scale,
            phase=self.phase,
            decode_batch=self.decode_batch,
        )

    def compile(self, display: Display | None) -> None:
        """Compile the world's blocks where that is wanted, telling `display`."""
        planned = self.prepared.plan
        note, warn = (display.note, display.warning) if display else (_discard, _discard)
        compile_model(
            self.world, self.prepared.request.options, planned.height, planned.width, note=note, warn=warn
        )

    def strangers(self) -> list[str]:
        """A sentence for every first picture that is of another place than the one the world knows by heart."""
        from lingbot_cli.model.scene_check import shows_trained_scene

        name = self.world.preset.name
        return [
            f"{path or self.prepared.request.image} is not of the place that the {name} world knows: "
            "the film begins with it and does not stay with it"
            for path, image in self.prepared.images.items()
            if not shows_trained_scene(self.world, image)
        ]

    def steps(self, past: SavedChunks, kept: int = 0) -> Iterable[ChunkTask]:
        """The film's chunks, those that earlier runs left taken up; its first `kept` frames are written."""
        past = replace(past, written=self.prepared.first + kept)
        return plan_chunks(
            self.prepared.controls, past, self.world.preset, self.world.decoder_receptive_field
        )


def resolve_precision(prepared: PreparedVideo) -> str:
    """What the world will compute in: what was asked for, or its device's usual."""
    request = prepared.request
    return pick_precision(
        prepared.here.fp8, pick_device_name(request.options.device), request.options.precision
    )


def load_prepared(prepared: PreparedVideo, report: "OnLoadProgress | None" = None) -> "WorldModel":
    """Load the model of a prepared video and encode its prompts."""
    return load_model(prepared.here, prepared.request.options, prepared.prompts, report)


def _discard(_: str) -> None:
    """Say nothing: a follower's words are the leader's, and a measurement has none."""


def render_video(
    prepared: PreparedVideo,
    sink: Sink,
    display: Display,
    *,
    written: Mapping[str, Any] | None,
    clock: Callable[[], float],
    keeping: ResumeOptions | None = None,
    loaded: Callable[[PreparedVideo], "WorldModel"] | None = None,
    gang: ProcessGroup | None = None,
) -> RenderResult:
    """Render the film into `sink`, telling `display`; whatever happens, the sink ends closed or aborted.

    `written` is what the film's recipe says of its encoding; None leaves the recipe out. Where the
    request says so the frames are made elsewhere; then nothing is loaded here. `loaded` gives a world that may
    be there already, and sees to its memory itself.
    Errors: what any stage raises; InterruptedRun after a signal, when the film is not whole.
    """
    film, elsewhere, began = prepared.info(), prepared.request.remote, clock()
    with (
        StopRequest(display.warning).handling() as stopped,
        keeping.trail.alone() if keeping else nullcontext(),
    ):
        display.plan(Report(plan_json(prepared), prepared.summary()))
        for note in prepared.film.warnings:
            display.warning(note)
        try:
            setup = preflight(prepared, sink, keeping, here=elsewhere is None and loaded is None)
            together = setup.decode_batch if setup else None
            tuning = _tuning(prepared, keeping, gang) if elsewhere is None else None
            if tuning is not None:
                display.note(tuning.words())
            if written is not None:
                precision = resolve_precision(prepared) if elsewhere is None else None
                recipe = make_recipe(prepared, precision=precision, tuning=tuning, written=written)
                film = replace(film, metadata=container_metadata(recipe))
            past = keeping.take_up(prepared, display) if keeping else NO_SAVED_CHUNKS
            kept = count_resumable_frames(sink, film, past, prepared, display)
            film = replace(film, start_frame=kept)
            with stopped.deferring():  # a program that is just starting could not be ended
                sink.open(film)
            if keeping:
                keeping.begin(prepared, past, tuning)
            meter = _meter(prepared, kept, clock)

            def count(step: ChunkTask) -> None:
                display.chunk(meter.count(step.shown, prepared.plan.chunks[step.index].keys))

            if elsewhere is not None:
                from lingbot_cli.render.remote import render_remote

                stopped.graceful = True
                made = render_remote(elsewhere, prepared, sink, stopped, count, display.warning)
            else:
                assert tuning is not None
                world = loaded(prepared) if loaded else load_prepared(prepared, load_progress(display.note))
                world = apply_tuning(gang.join(world) if gang else world, tuning)
                opened = LocalRender(prepared, world, decode_batch=together)
                opened.compile(display)
                for sentence in opened.strangers():
                    display.warning(sentence)
                meter = _meter(prepared, kept, clock)
                stopped.graceful = True
                made = run_pipeline(
                    opened.steps(past, kept),
                    opened.begin,
                    sink,
                    stopped=gang.agreed(stopped) if gang else stopped,
                    on_chunk=lambda chunk: count(chunk.step),
                    keep=keeping.keeper(prepared) if keeping else None,
                )
            made = replace(made, frames=kept + made.frames)
            if gang:
                gang.part()
            stopped.check(whole=made.frames == film.frames)
            sink.close()
        except BaseException:
            left = sink.abort()
            if left is not None:
                display.warning(f"what was made is kept in {left}")
            raise
        if keeping:
            keeping.finish()
    if elsewhere is None and loaded is None:
        save_speed(prepared, past, meter.speed(since=began))
    display.done(RenderSummary(sink, made, prepared.plan.fps, kept, clock() - meter.began).announcement())
    return made


def render_as_follower(prepared: PreparedVideo, gang: ProcessGroup) -> None:
    """Do a follower's share of the film; the leader alone hears signals, shows and writes."""
    with ignoring_signals():
        tuning = _tuning(prepared, None, gang)
        world = apply_tuning(gang.join(load_prepared(prepared)), tuning)
        opened = LocalRender(prepared, world)
        opened.compile(None)
        gang.follow(opened.steps(NO_SAVED_CHUNKS), opened.begin)


def _tuning(prepared: PreparedVideo, keeping: ResumeOptions | None, gang: ProcessGroup | None) -> Tuning:
    """How the film is computed: as its earlier run, where it is resumed; in a gang as its leader chooses."""
    planned = prepared.plan

    def choose() -> Tuning:
        before = keeping.tuning() if keeping else None
        processes = gang.size if gang else 1
        return choose_tuning(
            prepared.here,
            prepared.request.options,
            planned.height,
            planned.width,
            processes=processes,
            before=before,
        )

    if gang is None:
        return choose()
    gang.meet(prepared.request.options.device)
    return gang.told(choose)


def plan_json(prepared: PreparedVideo) -> dict[str, object]:
    """The plan as `--json` prints it."""
    planned = prepared.plan
    return {
        "width": planned.width,
        "height": planned.height,
        "frames": planned.frames - prepared.first,
        "fps": planned.fps,
        "chunks": len(planned.chunks),
        "seed": planned.seed,
        "model": planned.preset,
        "licence": prepared.checkpoint.preset.licence,
        "differences": [str(difference) for difference in prepared.checkpoint.differences],
        "levers": prepared.request.options.speed_options(),
    }


def _meter(prepared: PreparedVideo, kept: int, clock: Callable[[], float]) -> ProgressMeter:
    """Counts what is shown after the first `kept` frames."""
    planned = prepared.plan
    before = sum(chunk.start + chunk.frames <= prepared.first + kept for chunk in planned.chunks)
    return ProgressMeter(
        *(Fraction(planned.fps), len(planned.chunks), planned.frames - prepared.first, clock),
        chunks_before=before,
        frames_before=kept,
    )
