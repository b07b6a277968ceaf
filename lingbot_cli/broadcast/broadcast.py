"""Broadcast of a stream: rendered, paced, sent to every target, and closed cleanly."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from lingbot_cli.broadcast.just_in_time import just_in_time
from lingbot_cli.broadcast.latency import LatencyTracker
from lingbot_cli.broadcast.pacer import Pace, Pacer
from lingbot_cli.broadcast.source import PreparedStream
from lingbot_cli.broadcast.stats import StreamMonitor, report_outage
from lingbot_cli.errors import UsageError
from lingbot_cli.render.chunk_plan import new_tasks
from lingbot_cli.render.multi_gpu import ProcessGroup
from lingbot_cli.render.pipeline import RenderResult, StartSession, StopRequested, run_pipeline
from lingbot_cli.sinks.base import Sink, TeeSink, VideoInfo
from lingbot_cli.sinks.live.targets import LiveOutput, Target, start_all
from lingbot_cli.ui.display import Display, Report
from lingbot_cli.ui.progress import ProgressMeter
from lingbot_cli.ui.signals import StopRequest

if TYPE_CHECKING:
    from lingbot_cli.model.session import Session

Abort = Callable[[], str | None]
"""Ends an output at once, and returns the name of its partial file if there is one."""
LEAD_S, LIVE_LEAD_S = 1.0, 0.25
"""Default seconds of video buffered ahead, without and with live events."""


@dataclass(frozen=True)
class BroadcastOptions:
    """Targets, pace, seconds of video buffered ahead, and a sink that records every rendered frame."""

    targets: Sequence[Target]
    pace: Pace = "hold"
    lead: float = LEAD_S
    record: Sink | None = None


def broadcast(
    stream: PreparedStream,
    options: BroadcastOptions,
    display: Display,
    *,
    tracker: LatencyTracker | None,
    clock: Callable[[], float],
    group: ProcessGroup | None = None,
) -> RenderResult:
    """Send a stream until it ends or a signal comes; `group`: the processes that render with this one.

    Errors: StreamLostError for a target that cannot be reached within 5 s of the start, or is lost at the end; those
    of any stage; RunInterrupted after a signal, though the recording is complete then too.
    """
    video = VideoInfo(stream.height, stream.width, Fraction(stream.fps))
    aborts: list[Abort] = []
    with StopRequest(display.warning).handling() as stop:
        _check_remote(stream)
        display.plan(Report(stream.plan_json(), stream.summary()))
        with _aborting_on_failure(aborts, display):
            outputs = _open_outputs(stream, options, video, display, stop, aborts)
            meter = ProgressMeter(video.fps, stream.chunks, stream.frames, clock)
            monitor = StreamMonitor(display, outputs, tracker, meter, clock)
            pacer = _start_pacer(stream, options, outputs, monitor, tracker, stop, clock)
            aborts.insert(0, pacer.abort)
            if stream.request.remote is None:
                start_session = _local_sessions(stream, display, group)
            else:
                start_session = _remote_sessions(stream, display, stop)
            stop.graceful = True
            result = _render(stream, options, pacer, monitor, tracker, start_session, stop, clock)
            if not result.frames:
                stop.check(whole=False)
                raise UsageError(
                    "the stream ended before its first frame",
                    hint='give an event a length, such as {"keys": "w", "for": "2s"}, or keep standard input open',
                )
            pacer.abort()
            monitor.report_state()
            aborts.clear()
            _close(outputs, options.record, display)
        display.done(Report(monitor.facts() | {"latents": result.latents}, monitor.summary(stream.fps)))
        stop.check(whole=False)
    return result


def _check_remote(stream: PreparedStream) -> None:
    """Refuse a server that cannot stream, before any output is opened. Errors: UsageError."""
    remote = stream.request.remote
    if remote is not None and not remote.exact:
        raise UsageError(
            "--engine: this server takes no exact poses",
            hint="use lingbot serve, or render a video first and stream that",
        )


@contextmanager
def _aborting_on_failure(aborts: Sequence[Abort], display: Display) -> Iterator[None]:
    """Abort everything that is open when the block fails, and report partial files."""
    try:
        yield
    except BaseException:
        for abort in aborts:
            _report_partial(abort(), display)
        raise


def _report_partial(name: str | None, display: Display) -> None:
    if name:
        display.warning(f"partial output: {name}")


def _open_outputs(
    stream: PreparedStream,
    options: BroadcastOptions,
    video: VideoInfo,
    display: Display,
    stop: StopRequest,
    aborts: list[Abort],
) -> Sequence[LiveOutput]:
    """Open the recording and start every target."""
    if options.record is not None:
        aborts.append(options.record.abort)
        with stop.deferring():  # an encoder that is just starting cannot be ended
            options.record.open(replace(video, frames=stream.frames, chapters=stream.chapters))
    for target in options.targets:
        if target.listens:
            display.event("waiting", Report({"target": target.name}, f"for a caller at {target.name}"))
    outputs = start_all(options.targets, video, _still(stream), lambda outage: report_outage(display, outage))
    aborts += [output.abort for output in outputs]
    return outputs


def _still(stream: PreparedStream) -> np.ndarray:
    """Return the first image in the stream's size, shown until the first chunk."""
    size = (stream.width, stream.height)
    return np.asarray(Image.fromarray(stream.image).resize(size, Image.Resampling.BICUBIC))


def _start_pacer(
    stream: PreparedStream,
    options: BroadcastOptions,
    outputs: Sequence[LiveOutput],
    monitor: StreamMonitor,
    tracker: LatencyTracker | None,
    stop: StopRequest,
    clock: Callable[[], float],
) -> Pacer:
    pacer = Pacer(
        outputs,
        stream.fps,
        _still(stream),
        pace=options.pace,
        lead=options.lead,
        clock=clock,
        stopped=stop,
        on_chunk=tracker.timings.arrived if tracker is not None else None,
        on_frame=tracker.frame_sent if tracker is not None else None,
        idle=monitor.update,
    )
    monitor.pacer = pacer
    pacer.open(VideoInfo(stream.height, stream.width, Fraction(stream.fps)))
    return pacer


def _render(
    stream: PreparedStream,
    options: BroadcastOptions,
    pacer: Pacer,
    monitor: StreamMonitor,
    tracker: LatencyTracker | None,
    start_session: StartSession,
    stop: StopRequest,
    clock: Callable[[], float],
) -> RenderResult:
    """Render every chunk into the pacer and the recording, then wait until the last frame is sent."""
    controls = stream.controls
    if tracker is not None:
        controls = just_in_time(
            controls,
            tracker.timings,
            remaining=pacer.remaining,
            stopped=lambda: pacer.stopped or stop(),
            lead=math.inf if options.pace == "drop" else options.lead,  # drop never delays the model
            clock=clock,
        )
    # The pacer first: a recorded frame may be late, a sent one may not.
    sink = TeeSink([pacer, options.record]) if options.record is not None else pacer
    result = run_pipeline(
        new_tasks(controls), start_session, sink, stopped=stop, on_chunk=monitor.chunk_written
    )
    if not stop():
        pacer.close()
    return result


def _close(outputs: Sequence[LiveOutput], record: Sink | None, display: Display) -> None:
    """Close every output, report partial files of those that fail, and raise the first failure."""
    ends: list[tuple[Callable[[], None], Abort]] = [(output.close, output.abort) for output in outputs]
    if record is not None:
        ends.append((record.close, record.abort))
    failures: list[Exception] = []
    for close, abort in ends:
        try:
            close()
        except Exception as failure:  # one output's failure must not damage the others
            failures.append(failure)
            _report_partial(abort(), display)
    if failures:
        raise failures[0]


def _local_sessions(stream: PreparedStream, display: Display, group: ProcessGroup | None) -> StartSession:
    """Load the model; return a function that starts the session of a scene."""
    from lingbot_cli.model.group_session import open_session
    from lingbot_cli.render.group_model import load_leader_model
    from lingbot_cli.render.preflight import fit_memory, model_setup, pick_device_name
    from lingbot_cli.runtime.load_model import load_tuned

    checkpoint, options, preset = stream.checkpoint, stream.request.options, stream.model.preset
    height, width, device = stream.height, stream.width, pick_device_name(options.device)
    latents = max(preset.window, (stream.chunks or 1) * preset.chunk)  # a stream fills the window
    setup = fit_memory(checkpoint, model_setup(checkpoint, options, height, width, device, latents))
    note, warn = display.note, display.warning
    load = load_tuned if group is None else partial(load_leader_model, group)
    model = load(checkpoint, options, stream.prompts, height, width, note=note, warn=warn)

    def start_session(cut: Path | None) -> "Session":
        return open_session(
            model,
            stream.scene_image(cut),
            height=height,
            width=width,
            seed=stream.seed,
            scale=stream.scale,
            decode_batch=setup.decode_batch,
        )

    return start_session


def _remote_sessions(stream: PreparedStream, display: Display, stopped: Callable[[], bool]) -> StartSession:
    """Return a function that starts the session of a scene on a server."""
    from lingbot_cli.remote.messages import RemoteScene
    from lingbot_cli.remote.pose_session import PoseSession

    remote = stream.request.remote
    assert remote is not None
    engine = remote.engine

    def idle() -> None:
        if stopped():
            raise StopRequested

    def start_session(cut: Path | None) -> "Session":
        image = stream.scene_image(cut)
        scene = RemoteScene(image, stream.height, stream.width, stream.fps, stream.seed, stream.scale)
        session = PoseSession(engine, scene, idle=idle, warn=display.warning)
        return cast("Session", session)  # it denoises and decodes, and no more is needed of new chunks

    return start_session
