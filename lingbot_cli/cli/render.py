"""`lingbot render`: one video, from an image and a timeline."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from lingbot_cli.checkpoints.checkpoint import Checkpoint, absent_checkpoint, find_layout, is_absent
from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.model_flags import RENDER_FLAGS, Gpus
from lingbot_cli.cli.options import DisplayFlags, Engine, FirstImage
from lingbot_cli.cli.render_flags import OutputFlags, RenderTimelineFlags, ResumeFlags, uses_stdout
from lingbot_cli.console import print_json
from lingbot_cli.env import Env
from lingbot_cli.errors import LingbotError, UsageError
from lingbot_cli.presets import check_heads
from lingbot_cli.runtime.model_options import ModelOptions

if TYPE_CHECKING:
    from lingbot_cli.render.multi_gpu import ProcessGroup
    from lingbot_cli.render.request import PreparedVideo, Request
    from lingbot_cli.render.resume import ResumeOptions
    from lingbot_cli.sinks.base import Sink
    from lingbot_cli.ui.display import Display

DryRun = Annotated[
    bool, option("Print the plan, the memory and the outputs; render nothing.", panel="Display")
]

app = App()


@app.command()
def render(
    ctx: typer.Context,
    image: FirstImage,
    timeline: RenderTimelineFlags,
    output: OutputFlags,
    model: Annotated[ModelOptions, RENDER_FLAGS],
    resume: ResumeFlags,
    display: DisplayFlags,
    engine: Engine = None,
    gpus: Gpus = 1,
    dry_run: DryRun = False,
) -> None:
    """Render an image, a prompt and a timeline into a video.

    Example: lingbot render samples/courtyard-day.png --timeline recipes/first-walk.yaml -o walk.mp4
    """
    from lingbot_cli.render.launcher import end_with_launcher
    from lingbot_cli.render.multi_gpu import ProcessGroup, check_multi_gpu
    from lingbot_cli.render.render import render_video
    from lingbot_cli.sinks.base import TeeSink

    env: Env = ctx.obj
    targets = output.targets(image)
    shown, preview = display.open(env, env.err if uses_stdout(targets) else env.out)
    options = resume.options(targets, overwrite=output.overwrite)
    group = ProcessGroup.of(env.environ)
    if engine is not None:
        _check_remote(timeline, resume, shared=gpus > 1 or group is not None)
        options = None
    if group:
        end_with_launcher(env.environ)
        model = replace(model, device=group.device(model.device))
    elif gpus > 1 and not dry_run:
        model = replace(model, fast=False)  # its processes select; measuring here would hold memory of a GPU
    request = replace(timeline.request(image, model, engine, env), gpus=group.size if group else gpus)
    if group or gpus > 1:
        check_multi_gpu(timeline.timeline, resuming=resume.continues)
    try:
        prepared = _prepare(request, timeline.frames, targets, env, group, dry_run=dry_run)
        if request.gpus > 1:
            _share(prepared, group, env, shown, dry_run=dry_run)
        sink = output.sink(targets, prepared, env, options.store.outputs if options else None)
        overwrite_poses = output.overwrite or resume.resume is not None
        if dry_run:
            as_json = display.as_json
            _dry_run(env, prepared, sink, options, output, shown, as_json=as_json, overwrite=overwrite_poses)
            return
        if preview is not None:
            sink = TeeSink([sink, preview])
        save_camera = partial(output.save_camera, prepared, targets, overwrite=overwrite_poses)
        run = partial(render_video, prepared, sink, shown, encoding=output.encoding(timeline.frames))
        run(clock=env.clock, resume=options, group=group, save_camera=save_camera)
        output.finish(prepared, targets, shown.warning)
    except LingbotError as error:
        shown.error(error)
        raise
    finally:
        shown.close()


def _check_remote(timeline: RenderTimelineFlags, resume: ResumeFlags, *, shared: bool) -> None:
    """Refuse what only this machine's GPUs and latents could do. Errors: UsageError."""
    if shared:
        raise UsageError("--engine cannot be used with --gpus", hint="the server chooses its GPUs")
    if resume.continues or resume.keep_latents or timeline.frames:
        raise UsageError(
            "--engine renders whole videos and keeps no latents on this machine",
            hint="leave out --resume, --fork-at, --keep-latents and --frames",
        )


def _prepare(
    request: "Request",
    frames: str | None,
    targets: list[str],
    env: Env,
    group: "ProcessGroup | None",
    *,
    dry_run: bool,
) -> "PreparedVideo":
    """Prepare a video; a dry run plans with a model that is not on this machine, too."""
    from lingbot_cli.render.request import prepare, select_frames
    from lingbot_cli.sinks.resample import rate_notes

    if group and not dry_run:
        request = replace(request, options=group.resolve_fast(request.options))
    name = request.options.model
    planned = None
    if dry_run and request.remote is None and name is not None and is_absent(name, env.environ):
        planned = absent_checkpoint(name)
    prepared = prepare(request, env.read_stdin, checkpoint=planned)
    warnings = (*prepared.resolved.warnings, *rate_notes(targets, prepared.plan.fps))
    prepared = replace(prepared, resolved=replace(prepared.resolved, warnings=warnings))
    return prepared if frames is None else select_frames(prepared, frames)


def _share(
    prepared: "PreparedVideo", group: "ProcessGroup | None", env: Env, display: "Display", *, dry_run: bool
) -> None:
    """Start the processes of several GPUs, or follow the leader, and exit; return in the leader.

    A dry run has no processes but those of torchrun, and its followers do not connect.
    """
    from lingbot_cli.render.backend import render_as_follower
    from lingbot_cli.render.launcher import launch_processes
    from lingbot_cli.render.multi_gpu import exit_follower

    gpus = prepared.request.gpus
    check_heads(prepared.model.preset.heads, gpus)
    if group is None and not dry_run:
        raise typer.Exit(launch_processes(env.argv, gpus, env.environ, display.warning))
    if group is not None and not group.is_leader:
        if not dry_run:
            render_as_follower(prepared, group)
        exit_follower()


def _dry_run(
    env: Env,
    prepared: "PreparedVideo",
    sink: "Sink",
    options: "ResumeOptions | None",
    output: OutputFlags,
    display: "Display",
    *,
    as_json: bool,
    overwrite: bool,
) -> None:
    """Print the plan, then raise what a run would raise before it renders."""
    from lingbot_cli.render.backend import choose_backend
    from lingbot_cli.render.dry_run import dry_run_json, dry_run_lines
    from lingbot_cli.render.preflight import preflight
    from lingbot_cli.timeline.poses_dir import check_overwrite

    outputs = [sink.name, *([f"{output.save_poses}/"] if output.save_poses else [])]
    if as_json:
        print_json(env.out, dry_run_json(prepared, outputs))
    else:
        env.print(*dry_run_lines(prepared, outputs))
    if isinstance(prepared.model, Checkpoint) and prepared.model.layout.kind == "absent":
        find_layout(prepared.request.options.model)
    if output.save_poses is not None:
        check_overwrite(output.save_poses, output.camera_format(), overwrite=overwrite)
    preflight(prepared, sink, options, choose_backend(prepared, display))
    if options:
        options.load_saved(prepared, display)
