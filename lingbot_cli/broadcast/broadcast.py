"""Broadcast of a stream: rendered, paced, sent to every target, and closed cleanly."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from lingbot_cli.broadcast.just_in_time import just_in_time
from lingbot_cli.broadcast.pacer import Pace, Pacer
from lingbot_cli.broadcast.source import PreparedStream
from lingbot_cli.broadcast.stats import LatencyTracker, StreamMonitor, report_outage
from lingbot_cli.errors import UsageError
from lingbot_cli.render.chunk_plan import new_tasks
from lingbot_cli.render.multi_gpu import ProcessGroup
from lingbot_cli.render.pipeline import RenderResult, StartSession, StopRequested, run_pipeline
from lingbot_cli.render.request import require_local
from lingbot_cli.sinks.base import Sink, TeeSink, VideoInfo
from lingbot_cli.sinks.live.targets import LiveOutput, Target, start_all
from lingbot_cli.sinks.resample import rate_notes
from lingbot_cli.timeline.times import exact_fps
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
    with StopRequest(display.warning).handling() as stop:
        _check_remote(stream)
        display.plan(Report(stream.plan_json(), stream.summary()))
        names = [target.name for target in options.targets]
        names += [] if options.record is None else [options.record.name]
        for warning in (*stream.warnings, *rate_notes(names, stream.fps)):
            display.warning(warning)
        running = _Broadcast(stream, options, display, tracker, clock, stop)
        with running.aborting_on_failure():
            monitor = running.open()
            if stream.request.remote is None:
                start_session = _local_sessions(stream, display, group, live=tracker is not None)
            else:
                start_session = _remote_sessions(stream, display, stop)
            stop.graceful = True
            result = running.render(start_session, monitor)
            if not result.frames:
                stop.check(whole=False)
                raise UsageError(
                    "the stream ended before its first frame",
                    hint='give an event a length, such as {"keys": "w", "for": "2s"}, or keep standard input open',
                )
            monitor.pacer.abort()
            monitor.report_state()
            running.close()
        display.done(Report(monitor.facts() | {"latents": result.latents}, monitor.summary(stream.fps)))
        stop.check(whole=False)
    return result


def _check_remote(stream: PreparedStream) -> None:
    remote = stream.request.remote
    if remote is not None and not remote.exact:
        raise UsageError(
            "--engine: this server takes no exact poses",
            hint="use lingbot serve, or render a video first and stream that",
        )


@dataclass
class _Broadcast:
    """A running broadcast: its outputs, in the order in which they are aborted."""

    stream: PreparedStream
    options: BroadcastOptions
    display: Display
    tracker: LatencyTracker | None
    clock: Callable[[], float]
    stop: StopRequest
    outputs: Sequence[LiveOutput] = ()
    aborts: list[Abort] = field(default_factory=list)

    @contextmanager
    def aborting_on_failure(self) -> Iterator[None]:
        """Abort everything that is open when the block fails, and report partial files."""
        try:
            yield
        except BaseException:
            for abort in self.aborts:
                self._report_partial(abort())
            raise

    def _report_partial(self, name: str | None) -> None:
        if name:
            self.display.warning(f"partial output: {name}")

    def open(self) -> StreamMonitor:
        """Open the recording, start every target and the pacer; return their monitor."""
        stream, record, display = self.stream, self.options.record, self.display
        video = VideoInfo(stream.height, stream.width, exact_fps(stream.fps))
        if record is not None:
            self.aborts.append(record.abort)
            with self.stop.deferring():  # an encoder that is just starting cannot be ended
                record.open(replace(video, frames=stream.frames, chapters=stream.chapters))
        for target in self.options.targets:
            if target.listens:
                display.event("waiting", Report({"target": target.name}, f"for a caller at {target.name}"))
        # Shown until the first chunk.
        size = (stream.width, stream.height)
        still = np.asarray(Image.fromarray(stream.image).resize(size, Image.Resampling.BICUBIC))
        self.outputs = start_all(
            self.options.targets, video, still, lambda outage: report_outage(display, outage)
        )
        self.aborts += [output.abort for output in self.outputs]
        meter = ProgressMeter(video.fps, stream.chunks, stream.frames, self.clock)
        monitor = StreamMonitor(display, self.outputs, self.tracker, meter, self.clock)
        monitor.pacer = Pacer(
            self.outputs,
            stream.fps,
            still,
            pace=self.options.pace,
            lead=self.options.lead,
            clock=self.clock,
            stopped=self.stop,
            on_chunk=self.tracker.timings.arrived if self.tracker is not None else None,
            on_frame=self.tracker.frame_sent if self.tracker is not None else None,
            idle=monitor.update,
        )
        self.aborts.insert(0, monitor.pacer.abort)
        monitor.pacer.open(video)
        return monitor

    def render(self, start_session: StartSession, monitor: StreamMonitor) -> RenderResult:
        """Render every chunk into the pacer and the recording, then wait until the last frame is sent."""
        pacer, record, controls = monitor.pacer, self.options.record, self.stream.controls
        if self.tracker is not None:
            controls = just_in_time(
                controls,
                self.tracker.timings,
                remaining=pacer.remaining,
                stopped=lambda: pacer.stopped or self.stop(),
                # Drop never delays the model.
                lead=math.inf if self.options.pace == "drop" else self.options.lead,
                clock=self.clock,
            )
        # The pacer first: a recorded frame may be late, a sent one may not.
        sink = TeeSink([pacer, record]) if record is not None else pacer
        result = run_pipeline(
            new_tasks(controls), start_session, sink, stopped=self.stop, on_chunk=monitor.chunk_written
        )
        if not self.stop():
            pacer.close()
        return result

    def close(self) -> None:
        """Close every output, report partial files of those that fail, and raise the first failure."""
        self.aborts.clear()
        outputs: list[LiveOutput | Sink] = [*self.outputs]
        if self.options.record is not None:
            outputs.append(self.options.record)
        failures: list[Exception] = []
        for output in outputs:
            try:
                output.close()
            except Exception as failure:  # one output's failure must not damage the others
                failures.append(failure)
                self._report_partial(output.abort())
        if failures:
            raise failures[0]


def _local_sessions(
    stream: PreparedStream, display: Display, group: ProcessGroup | None, *, live: bool
) -> StartSession:
    """Load the model, to which prompts may come if `live`; return a function that starts the session of a scene."""
    from lingbot_cli.model.group_session import open_session
    from lingbot_cli.render.preflight import fit_sessions
    from lingbot_cli.runtime.load_model import load_tuned

    checkpoint, options, preset = require_local(stream.model), stream.request.options, stream.model.preset
    height, width = stream.height, stream.width
    latents = max(preset.window, (stream.chunks or 1) * preset.chunk)  # a stream fills the window
    gpus = 1 if group is None else group.size
    memory = fit_sessions(checkpoint, options, height, width, latents, gpus=gpus, live=live)
    model = load_tuned(
        checkpoint,
        options,
        stream.prompts,
        height,
        width,
        note=display.note,
        warn=lambda text: None if text in stream.warnings else display.warning(text),
        group=group,
        keep_text_encoder=live,
    )

    def start_session(cut: Path | None) -> "Session":
        return open_session(
            model,
            stream.scene_image(cut),
            height=height,
            width=width,
            seed=stream.seed,
            scale=stream.scale,
            decode_batch=memory.setup.decode_batch,
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
