"""Render of a prepared video into a sink: preflight, open, load, run, finish."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lingbot_cli.errors import EncoderStalledError, OutputError
from lingbot_cli.render.backend import Backend, LoadPrepared, choose_backend
from lingbot_cli.render.chunk_plan import NO_SAVED_CHUNKS, ChunkTask, SavedChunks
from lingbot_cli.render.dry_run import save_speed
from lingbot_cli.render.fingerprint import render_fingerprint
from lingbot_cli.render.metadata import container_metadata, make_recipe
from lingbot_cli.render.multi_gpu import ProcessGroup
from lingbot_cli.render.pipeline import RenderResult
from lingbot_cli.render.preflight import preflight
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.render.resume import ResumeOptions, count_resumable_frames
from lingbot_cli.sinks.base import Sink, output_names
from lingbot_cli.timeline.times import exact_fps, format_fps
from lingbot_cli.ui.display import Display, Report
from lingbot_cli.ui.progress import ProgressMeter
from lingbot_cli.ui.signals import StopRequest


@dataclass(frozen=True)
class RenderJob:
    """One render: the video, its output, and the backend that computes it.

    `save_camera` is called once everything is checked.
    """

    prepared: PreparedVideo
    sink: Sink
    display: Display
    backend: Backend
    clock: Callable[[], float]
    resume: ResumeOptions | None = None
    save_camera: Callable[[], None] = lambda: None


def render_video(
    prepared: PreparedVideo,
    sink: Sink,
    display: Display,
    *,
    encoding: Mapping[str, Any] | None,
    clock: Callable[[], float],
    resume: ResumeOptions | None = None,
    load: LoadPrepared | None = None,
    group: ProcessGroup | None = None,
    save_camera: Callable[[], None] = lambda: None,
) -> RenderResult:
    """Render a prepared video into a sink; on failure leave a playable partial file.

    `encoding`: flags for the recipe in the metadata, None for no recipe. `save_camera`: see RenderJob. `load` may
    return a loaded model, and checks memory itself. The sink ends closed or aborted. After an encoder that hangs, the
    video is resumed once, where its chunks are saved and every sink can be opened again. Errors: those of any stage;
    RunInterrupted after a signal.
    """
    choose = partial(choose_backend, prepared, display, load=load, group=group)
    try:
        return _render(RenderJob(prepared, sink, display, choose(), clock, resume, save_camera), encoding)
    except EncoderStalledError as stall:
        if resume is None or not resume.store.count_chunks():
            raise
        if group or not sink.restartable:
            hint = "continue after the last saved chunk with --resume, without --gpus"
            raise OutputError(str(stall), hint=hint if group else hint.partition(", ")[0]) from stall
        message = f"{stall}; it is started again after the last saved chunk"
    display.warning(message)
    gc.collect()  # the first model, which the error held
    resume = replace(resume, resume=resume.resume or "exact", fork_at=None)
    return _render(RenderJob(prepared, sink, display, choose(), clock, resume), encoding)


def _render(job: RenderJob, encoding: Mapping[str, Any] | None) -> RenderResult:
    """Render a prepared video, with one encoder an output."""
    prepared, display, backend, resume = job.prepared, job.display, job.backend, job.resume
    began = job.clock()
    with StopRequest(display.warning).handling() as stop, resume.store.locked() if resume else nullcontext():
        announce(job)
        with aborting_on_failure(job):
            preflight(prepared, job.sink, resume, backend)
            job.save_camera()
            saved = open_sink(job, stop, encoding)
            backend.load(display)
            meter = start_meter(job, saved)
            result = run(job, saved, meter, stop)
            finish(job, result, stop)
        if resume and not resume.keep_latents:
            resume.store.clear()
    if backend.measures_speed:
        save_speed(prepared, saved, meter.speed(since=began))
    display.done(summarize(job, result, saved, job.clock() - meter.began))
    return result


def announce(job: RenderJob) -> None:
    """Show the plan, and the timeline's warnings."""
    job.display.plan(Report(plan_json(job.prepared), job.prepared.summary()))
    for warning in job.prepared.warnings:
        job.display.warning(warning)


@contextmanager
def aborting_on_failure(job: RenderJob) -> Iterator[None]:
    """Abort the sink when the block fails, and report its partial output."""
    try:
        yield
    except BaseException:
        partial = job.sink.abort()
        if partial is not None:
            job.display.warning(f"partial output: {partial}")
        raise


def open_sink(job: RenderJob, stop: StopRequest, encoding: Mapping[str, Any] | None) -> SavedChunks:
    """Open the sink, after the frames of an earlier run where it resumes one; return what is resumed."""
    prepared, resume, backend = job.prepared, job.resume, job.backend
    video, saved = prepared.video_info(), NO_SAVED_CHUNKS
    tuning = backend.choose_tuning(resume.store.tuning() if resume and resume.resuming else None)
    if tuning is not None:
        job.display.note(tuning.describe())
    if encoding is not None:
        precision = backend.precision()
        recipe = make_recipe(prepared, precision=precision, tuning=tuning, encoding=encoding)
        video = replace(video, metadata=container_metadata(recipe))
    if resume:
        saved = resume.load_saved(prepared, job.display)
        saved = replace(saved, frames=count_resumable_frames(job.sink, video, saved, prepared, job.display))
    with stop.deferring():  # an encoder that is just starting cannot be ended
        job.sink.open(replace(video, start_frame=saved.frames))
    if resume:
        resume.store.start(render_fingerprint(prepared), saved.chunks, tuning)
    return saved


def start_meter(job: RenderJob, saved: SavedChunks) -> ProgressMeter:
    """Return a progress meter that starts now, after the frames of an earlier run."""
    plan, first = job.prepared.plan, job.prepared.first_frame
    return ProgressMeter(
        exact_fps(plan.fps),
        len(plan.chunks),
        job.prepared.frames,
        job.clock,
        chunks_before=sum(chunk.start + chunk.frames <= first + saved.frames for chunk in plan.chunks),
        frames_before=saved.frames,
    )


def run(job: RenderJob, saved: SavedChunks, meter: ProgressMeter, stop: StopRequest) -> RenderResult:
    """Render every chunk, until a signal asks to stop; return the result, resumed frames included."""
    prepared = job.prepared

    def report(task: ChunkTask) -> None:
        job.display.chunk(meter.count(task.shown, prepared.plan.chunks[task.index].keys))

    stop.graceful = True
    save_chunk = job.resume.chunk_saver(prepared) if job.resume else None
    result = job.backend.run(saved, job.sink, stop, report, save_chunk)
    return replace(result, frames=saved.frames + result.frames)


def finish(job: RenderJob, result: RenderResult, stop: StopRequest) -> None:
    """Close the sink of a complete video. Errors: RunInterrupted for an incomplete one."""
    job.backend.finish()
    stop.check(whole=result.frames == job.prepared.frames)
    job.sink.close()


def summarize(job: RenderJob, result: RenderResult, saved: SavedChunks, seconds: float) -> Report:
    """Return the figures of a finished render, and one line with them."""
    rate = job.prepared.plan.fps
    fps = (result.frames - saved.frames) / max(seconds, 1e-6)
    facts = {
        "file": job.sink.name,
        "files": output_names(job.sink),
        "frames": result.frames,
        "resumed_frames": saved.frames,
        "chunks": result.chunks,
        "seconds": round(seconds, 3),
        "fps": round(fps, 2),
        "latents": result.latents,
    }
    resumed = f", {saved.frames} of them resumed" if saved.frames else ""
    line = (
        f"{job.sink.name.removesuffix(':')}: {result.frames} frames, {result.frames / rate:.1f} s at "
        f"{format_fps(rate)} fps, rendered in {seconds:.1f} s ({fps:.1f} fps{resumed})"
    )
    return Report(facts, line)


def plan_json(prepared: PreparedVideo) -> dict[str, object]:
    """Return the plan as `--json` prints it."""
    plan, model = prepared.plan, prepared.model
    return {
        "width": plan.width,
        "height": plan.height,
        "frames": prepared.frames,
        "fps": plan.fps,
        "chunks": len(plan.chunks),
        "seed": plan.seed,
        "model": plan.preset,
        "licence": model.preset.licence,
        "differences": [str(difference) for difference in model.differences],
        "speed_options": prepared.request.options.speed_options(),
    }
