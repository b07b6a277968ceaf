"""A show on the air: made, paced, sent, watched, and ended well."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lingbot_cli.broadcast.just_in_time import just_in_time
from lingbot_cli.broadcast.latency import LatencyTracker
from lingbot_cli.broadcast.pacer import Pace, Pacer
from lingbot_cli.broadcast.source import PreparedStream
from lingbot_cli.broadcast.stats import StreamMonitor, report_gap
from lingbot_cli.errors import UsageError
from lingbot_cli.render.chunk_plan import new_tasks
from lingbot_cli.render.pipeline import RenderResult, StopRequested, run_pipeline
from lingbot_cli.sinks.base import Sink, TeeSink, VideoInfo
from lingbot_cli.sinks.live.targets import Target, start_all
from lingbot_cli.ui.display import Display, Report
from lingbot_cli.ui.progress import ProgressMeter
from lingbot_cli.ui.signals import StopRequest

if TYPE_CHECKING:
    from lingbot_cli.model.session import Session

Abort = Callable[[], str | None]
"""Ends something at once and says what is kept of it."""
LEAD_S, LIVE_LEAD_S = 1.0, 0.25  # seconds of film gathered ahead, when nothing else is asked for


@dataclass(frozen=True)
class BroadcastOptions:
    """How a show is sent: where to, in which pace, seconds of lead, and a file that keeps what was made."""

    targets: Sequence[Target]
    pace: Pace = "hold"
    lead: float = LEAD_S
    record: Sink | None = None


def broadcast(
    show: PreparedStream,
    air: BroadcastOptions,
    display: Display,
    *,
    acks: LatencyTracker | None,
    clock: Callable[[], float],
) -> RenderResult:
    """Send the show until it is over or a signal comes.

    Errors: StreamLostError when a target cannot be reached at the start, within 5 s, or is away at the end;
    what any stage raises; InterruptedRun after a signal, though the recorded file is whole then too.
    """
    film = VideoInfo(show.height, show.width, Fraction(show.fps))
    still = np.asarray(
        Image.fromarray(show.image).resize((show.width, show.height), Image.Resampling.BICUBIC)
    )
    with StopRequest(display.warning).handling() as stopped:
        display.plan(Report(show.facts(), show.summary()))
        open_ends: list[Abort] = []
        try:
            if air.record is not None:
                open_ends.append(air.record.abort)
                with stopped.deferring():  # a program that is just starting could not be ended
                    air.record.open(film)
            outputs = start_all(air.targets, film, still, lambda gap: report_gap(display, gap))
            open_ends += [output.abort for output in outputs]
            watch = StreamMonitor(
                display, outputs, acks, ProgressMeter(film.fps, show.chunks, show.frames, clock), clock
            )
            pacer = Pacer(
                *(outputs, show.fps, still),
                pace=air.pace,
                lead=air.lead,
                leaving=stopped,
                clock=clock,
                coming=acks.timings.come if acks is not None else None,
                showing=acks.showing if acks is not None else None,
                tick=watch.tick,
            )
            watch.pacer = pacer
            pacer.open(film)
            open_ends.insert(0, pacer.abort)
            if show.request.remote is None:
                begin = _local_sessions(show, display)
            else:
                begin = _remote_sessions(show, display, stopped)
            stopped.graceful = True
            controls = show.controls
            if acks is not None:
                controls = just_in_time(
                    *(controls, acks.timings),
                    waiting=pacer.waiting,
                    over=lambda: pacer.over or stopped(),
                    lead=math.inf if air.pace == "drop" else air.lead,  # drop lets no world wait
                    clock=clock,
                )
            # What is recorded may come a little later; what is sent may not.
            sink = TeeSink([pacer, air.record]) if air.record is not None else pacer
            made = run_pipeline(new_tasks(controls), begin, sink, stopped=stopped, on_chunk=watch.chunk)
            if not stopped():
                pacer.close()
            pacer.abort()
            watch.state()
            open_ends.clear()
            ends = [(output.close, output.abort) for output in outputs]
            if air.record is not None:
                ends.append((air.record.close, air.record.abort))
            _close_all(ends, display)
        except BaseException:
            for abort in open_ends:
                if kept := abort():
                    display.warning(f"what was made is kept in {kept}")
            raise
        display.done(Report(watch.facts() | {"latents": made.latents}, watch.summary(show.fps)))
        stopped.check(whole=False)
    return made


def _close_all(ends: Sequence[tuple[Callable[[], None], Abort]], display: Display) -> None:
    """End all well that can be and say what is kept of the rest, then raise the first failure."""
    failures: list[Exception] = []
    for close, abort in ends:
        try:
            close()
        except Exception as failure:  # whatever it is, the others are to be whole
            failures.append(failure)
            if kept := abort():
                display.warning(f"what was made is kept in {kept}")
    if failures:
        raise failures[0]


def _local_sessions(show: PreparedStream, display: Display) -> Callable[[Path | None], "Session"]:
    from lingbot_cli.model.session import Session
    from lingbot_cli.render.preflight import fit_memory, model_setup, pick_device_name
    from lingbot_cli.runtime.load_model import load_tuned

    preset, device = show.model.preset, pick_device_name(show.request.options.device)
    latents = max(preset.window, (show.chunks or 1) * preset.chunk)  # a stream fills the window
    setup = model_setup(show.model, show.request.options, show.height, show.width, device, latents)
    together = fit_memory(show.checkpoint, setup).decode_batch
    world = load_tuned(
        show.checkpoint,
        show.request.options,
        show.prompts,
        show.height,
        show.width,
        note=display.note,
        warn=display.warning,
    )

    def begin(cut: Path | None) -> "Session":
        return Session(
            *(world, show.picture(cut)),
            height=show.height,
            width=show.width,
            seed=show.seed,
            scale=show.scale,
            decode_batch=together,
        )

    return begin


def _remote_sessions(
    show: PreparedStream, display: Display, stopped: Callable[[], bool]
) -> Callable[[Path | None], Any]:
    """The same of a world that lives on a server; it is waited for until `stopped`."""
    from lingbot_cli.remote.messages import RemoteScene
    from lingbot_cli.remote.pose_session import PoseSession

    remote = show.request.remote
    if remote is None or not remote.exact:
        raise UsageError(
            "streams need an engine that takes exact poses", hint="use lingbot serve, or render a film first"
        )

    def idle() -> None:
        if stopped():
            raise StopRequested

    def begin(cut: Path | None) -> Any:
        scene = RemoteScene(show.picture(cut), show.height, show.width, show.fps, show.seed, show.scale)
        return PoseSession(remote.engine, scene, idle=idle, warn=display.warning)

    return begin
