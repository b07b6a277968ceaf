"""`lingbot render`: one video, from an image and a timeline."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.model_flags import RENDER_FLAGS
from lingbot_cli.cli.option_groups import option
from lingbot_cli.cli.options import (
    DisplayFlags,
    Engine,
    FirstImage,
    Overwrite,
    Quality,
    TimelineFlags,
    time_value,
)
from lingbot_cli.env import Env
from lingbot_cli.errors import LingbotError, UsageError
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.timeline.times import Time

if TYPE_CHECKING:
    from lingbot_cli.render.request import PreparedVideo, Request
    from lingbot_cli.render.resume import ResumeOptions
    from lingbot_cli.sinks.base import Sink
    from lingbot_cli.ui.display import Display

app = App()


@dataclass(frozen=True)
class RenderTimelineFlags(TimelineFlags):
    """Camera and prompt of a rendered video, and the frames of it to render."""

    frames: Annotated[
        str | None,
        option("--frames", metavar="A:B", help="Render only frames A to before B; either may be left out."),
    ] = None
    scale: Annotated[
        Literal["fixed", "clip"] | None,
        option(
            "--scale",
            rare=True,
            help="Unit of the camera's path: fixed, or the largest step of the clip.",
            show_default="clip for --poses, else fixed",
        ),
    ] = None


@dataclass(frozen=True)
class OutputFlags:
    """Files of a video and their encoding."""

    panel: ClassVar[str] = "Output"

    output: Annotated[
        list[str] | None,
        option(
            "-o",
            "--output",
            metavar="FILE",
            help="Video (.mp4 .mkv .webm .gif .webp .y4m), images (frames/%05d.png), - for standard output, or "
            "null:. Repeatable.",
            show_default="IMAGE.mp4",
        ),
    ] = None
    quality: Quality = "web"
    codec: Annotated[
        str | None,
        option(
            "--codec",
            metavar="NAME",
            help="Video codec: h264, hevc, x264, x265, av1, vp9, ffv1, ….",
            show_default="the format's",
        ),
    ] = None
    crf: Annotated[
        int | None,
        option(
            "--crf",
            min=0,
            max=100,
            help="Quality number of the codec; lower is better.",
            show_default="the codec's",
        ),
    ] = None
    format: Annotated[
        str | None,
        option("--format", rare=True, metavar="NAME", help="Format of outputs whose name has none."),
    ] = None
    overlay: Annotated[
        Literal["none", "keys", "burn"],
        option(
            "--overlay",
            help="keys: also write a copy with keys and prompt on it; burn: draw them on the video.",
        ),
    ] = "none"
    overwrite: Overwrite = False
    no_metadata: Annotated[
        bool, option("--no-metadata", rare=True, help="Leave out the metadata that `lingbot show` reads.")
    ] = False
    save_poses: Annotated[
        Path | None,
        option(
            "--save-poses",
            rare=True,
            metavar="FOLDER",
            help="Also write the camera of every frame, as --poses reads it.",
        ),
    ] = None

    def targets(self, image: Path) -> list[str]:
        """Return the names of all outputs."""
        return self.output or [f"{image.stem}.mp4"]

    def sink(self, targets: list[str], prepared: "PreparedVideo", env: Env, keep: Path | None) -> "Sink":
        """Return the sink of all outputs, the overlay's among them; `keep`: folder of what a resume needs."""
        from lingbot_cli.sinks.base import TeeSink
        from lingbot_cli.sinks.factory import OutputOptions, choose_sinks
        from lingbot_cli.sinks.output_paths import copy_name
        from lingbot_cli.sinks.overlay import OverlaySink

        options = OutputOptions(self.quality, self.codec, self.crf, self.format, self.overwrite, keep)
        sink = choose_sinks(targets, options, env.environ, env.stdout_bytes if "-" in targets else None)
        if self.overlay == "burn":
            return OverlaySink(sink, prepared.captions(), enlarge=False)
        if self.overlay == "none":
            return sink
        copies = [copy_name(target, "keys") for target in files_of(targets)]
        if not copies:
            raise UsageError(
                "--overlay keys: no output is a file to make a copy of", hint="use --overlay burn"
            )
        copy = choose_sinks(copies, options, env.environ)
        return TeeSink([sink, OverlaySink(copy, prepared.captions(), enlarge=True)])

    def encoding(self, frames: str | None) -> dict[str, Any] | None:
        """Return what the metadata says of the encoding, None to leave the metadata out."""
        if self.no_metadata:
            return None
        return {"quality": self.quality, "codec": self.codec, "crf": self.crf, "frames": frames}


@dataclass(frozen=True)
class ResumeFlags:
    """Continuation of earlier runs."""

    panel: ClassVar[str] = "Resume"

    resume: Annotated[
        Literal["exact", "fast"] | None,
        option(
            "--resume",
            metavar="[=exact|fast]",
            help="Continue an interrupted run of this video; fast rebuilds the KV cache approximately.",
        ),
    ] = None
    fork_at: Annotated[
        Time | None,
        option(
            "--fork-at",
            parser=time_value,
            metavar="TIME",
            help="Continue an earlier run from this time on, with a changed timeline.",
        ),
    ] = None
    keep_latents: Annotated[
        bool, option("--keep-latents", help="Keep the latents of the finished video, for --fork-at.")
    ] = False

    @property
    def continues(self) -> bool:
        """Whether an earlier run is continued."""
        return self.resume is not None or self.fork_at is not None

    def options(self, targets: list[str], *, overwrite: bool) -> "ResumeOptions | None":
        """Return the resume options, None without a file. Errors: UsageError."""
        from lingbot_cli.render.resume import ResumeOptions
        from lingbot_cli.render.resume_store import ResumeStore

        files = files_of(targets)
        if files:
            return ResumeOptions(
                ResumeStore.for_output(files[0]), self.resume, self.fork_at, self.keep_latents, overwrite
            )
        if self.continues or self.keep_latents:
            raise UsageError("nothing can be resumed without a file", hint="name one with -o")
        return None


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
    gpus: Annotated[
        int,
        option("--gpus", panel="Speed", min=1, help="GPUs of this machine that render the video together."),
    ] = 1,
    dry_run: Annotated[
        bool,
        option(
            "--dry-run", panel="Display", help="Print the plan, the memory and the outputs; render nothing."
        ),
    ] = False,
) -> None:
    """Render an image, a prompt and a timeline into a video.

    Example: lingbot render samples/courtyard-day.png --timeline recipes/first-walk.yaml -o walk.mp4
    """
    from lingbot_cli.render.local import render_as_follower
    from lingbot_cli.render.multi_gpu import ProcessGroup, check_multi_gpu, exit_follower
    from lingbot_cli.render.render import render_video
    from lingbot_cli.sinks.base import TeeSink
    from lingbot_cli.timeline.poses_dir import write_poses_dir

    env: Env = ctx.obj
    targets = output.targets(image)
    shown, preview = display.open(env, env.err if "-" in targets else env.out)
    keeping = resume.options(targets, overwrite=output.overwrite)
    gang = ProcessGroup.of(env.environ)
    if engine is not None:
        _check_remote(timeline, resume, shared=gpus > 1 or gang is not None)
        keeping = None
    if gang:
        model = replace(model, device=gang.device(model.device))
    request = timeline.request(image, model, engine, env, scale=timeline.scale)
    if gang or gpus > 1:
        check_multi_gpu(timeline.timeline, resuming=resume.continues)
    try:
        prepared = _prepare(request, timeline.frames, env)
        if gang and not gang.is_leader:
            render_as_follower(prepared, gang)
            exit_follower()
        if gpus > 1 and not gang:
            _launch(prepared, gpus, env, shown, dry_run=dry_run)
        sink = output.sink(targets, prepared, env, keeping.store.outputs if keeping else None)
        overwrite_poses = output.overwrite or resume.resume is not None
        if dry_run:
            _print_plan(env, prepared, sink, output.save_poses, as_json=display.as_json)
            _check_run(prepared, sink, keeping, output.save_poses, shown, overwrite=overwrite_poses)
            return
        if preview is not None:
            sink = TeeSink([sink, preview])
        if output.save_poses is not None:
            write_poses_dir(prepared.resolved.compiled, output.save_poses, overwrite=overwrite_poses)
        encoding = output.encoding(timeline.frames)
        render_video(prepared, sink, shown, encoding=encoding, clock=env.clock, resume=keeping, group=gang)
    except LingbotError as error:
        shown.error(error)
        raise
    finally:
        shown.close()


def files_of(targets: list[str]) -> list[str]:
    """Return the targets that are files."""
    return [target for target in targets if target not in ("-", "null:")]


def _check_remote(timeline: RenderTimelineFlags, resume: ResumeFlags, *, shared: bool) -> None:
    """Refuse what only this machine's GPUs and latents could do. Errors: UsageError."""
    if shared:
        raise UsageError("--engine cannot be used with --gpus", hint="the server chooses its GPUs")
    if resume.continues or resume.keep_latents or timeline.frames:
        raise UsageError(
            "--engine renders whole videos and keeps no latents on this machine",
            hint="leave out --resume, --fork-at, --keep-latents and --frames",
        )


def _prepare(request: "Request", frames: str | None, env: Env) -> "PreparedVideo":
    from lingbot_cli.render.request import prepare, select_frames

    prepared = prepare(request, env.read_stdin)
    return prepared if frames is None else select_frames(prepared, frames)


def _launch(prepared: "PreparedVideo", gpus: int, env: Env, display: "Display", *, dry_run: bool) -> None:
    """Render in one process per GPU and exit; a dry run only checks that the heads divide."""
    from lingbot_cli.presets import check_heads
    from lingbot_cli.render.launcher import launch_processes

    check_heads(prepared.model.preset.heads, gpus)
    if not dry_run:
        raise typer.Exit(launch_processes(env.argv, gpus, env.environ, display.warning))


def _print_plan(
    env: Env, prepared: "PreparedVideo", sink: "Sink", poses: Path | None, *, as_json: bool
) -> None:
    """Print the plan of a dry run."""
    from lingbot_cli.render.dry_run import dry_run_json, dry_run_lines

    outputs = [sink.name, *([f"{poses}/"] if poses else [])]
    if as_json:
        env.out.print(json.dumps(dry_run_json(prepared, outputs)), markup=False, soft_wrap=True)
        return
    for line in dry_run_lines(prepared, outputs):
        env.out.print(line, markup=False, soft_wrap=True)


def _check_run(
    prepared: "PreparedVideo",
    sink: "Sink",
    keeping: "ResumeOptions | None",
    poses: Path | None,
    display: "Display",
    *,
    overwrite: bool,
) -> None:
    """Raise what a run would raise before it renders; `poses`: the folder of --save-poses."""
    from lingbot_cli.render.backend import choose_backend
    from lingbot_cli.render.preflight import preflight
    from lingbot_cli.timeline.poses_dir import check_overwrite

    if poses is not None:
        check_overwrite(poses, overwrite=overwrite)
    preflight(prepared, sink, keeping, choose_backend(prepared, display))
    if keeping:
        keeping.load_saved(prepared, display)
