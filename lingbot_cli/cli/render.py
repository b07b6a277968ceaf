"""`lingbot render`: one film, from an image and a timeline."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import (
    Assets,
    AttentionIn,
    Compile,
    Decode,
    DecodeOn,
    Device,
    Fast,
    Kernel,
    Linears,
    ModelName,
    Offload,
    Precision,
    TextOn,
    Threads,
    TinyDecoder,
    Window,
)
from lingbot_cli.cli.watching import Preview, choose_watching
from lingbot_cli.env import Env

app = App()


def _keeping(targets: list[str], resume: Any, fork_at: Any, stay: bool, anew: bool) -> Any:
    """Where the film's latents are kept: beside its first file."""
    from lingbot_cli.errors import UsageError
    from lingbot_cli.render.resume import ResumeOptions
    from lingbot_cli.render.resume_store import ResumeStore

    files = [target for target in targets if target not in ("-", "null:")]
    if files:
        return ResumeOptions(ResumeStore.beside(files[0]), resume, fork_at, stay, anew)
    if resume or fork_at or stay:
        raise UsageError("nothing can be resumed without a file", hint="name one with -o")
    return None


def _check_alone(gpus: int, gang: Any, taken_up: Any) -> None:
    """An engine elsewhere keeps its own GPUs and its own latents."""
    from lingbot_cli.errors import UsageError

    if gpus > 1 or gang:
        raise UsageError("--engine and --gpus do not go together", hint="the server decides on its GPUs")
    if taken_up:
        raise UsageError(
            "--engine makes whole films and keeps no latents here",
            hint="leave out --resume, --fork-at, --keep-latents and --frames",
        )


def _preview(env: Env, prepared: Any, outputs: list[str], *, as_json: bool) -> None:
    """Print what `--dry-run` says."""
    import json

    from lingbot_cli.render.dry_run import dry_run_json, dry_run_lines

    if as_json:
        env.out.print(json.dumps(dry_run_json(prepared, outputs)), markup=False, soft_wrap=True)
        return
    for line in dry_run_lines(prepared, outputs):
        env.out.print(line, markup=False, soft_wrap=True)


@app.command()
def render(
    ctx: typer.Context,
    image: Annotated[Path, typer.Argument(help="The first picture of the world.")],
    timeline: Annotated[
        str | None, typer.Option("--timeline", "-t", help="What happens when: .yaml, .jsonl, or - for stdin.")
    ] = None,
    moves: Annotated[str | None, typer.Option(help="Published notation, such as w-10,iw-15,none-10.")] = None,
    poses: Annotated[str | None, typer.Option(help="A folder with poses.npy and intrinsics.npy.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What the world is like.")] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--output",
            help="A .mp4 .mkv .webm .gif .webp .y4m file, frames/%05d.png, - or null:; may be repeated.",
        ),
    ] = None,
    size: Annotated[str | None, typer.Option(help="Such as 832x480; multiples of 16.")] = None,
    fps: Annotated[int | None, typer.Option(min=1, max=120, help="Frames a second.")] = None,
    duration: Annotated[str | None, typer.Option(help="How long the film is, such as 10s or 160f.")] = None,
    frames: Annotated[
        str | None,
        typer.Option(help="Only frames A:B of the film, from A to before B; either may be left out."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Which of many worlds.")] = None,
    scale: Annotated[
        Literal["fixed", "clip"] | None, typer.Option(help="What one unit of the camera's path is.")
    ] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Let a timeline name files outside its folder.")
    ] = False,
    model: ModelName = None,
    assets: Assets = None,
    device: Device = None,
    precision: Precision = None,
    gpus: Annotated[int, typer.Option(min=1, help="Make one film on so many GPUs of this machine.")] = 1,
    decode: Decode = None,
    text_on: TextOn = None,
    offload: Offload = False,
    decode_on: DecodeOn = None,
    kernel: Kernel = None,
    compile: Compile = None,
    threads: Threads = None,
    chunk: Annotated[int | None, typer.Option(help="Latent frames made at a time.")] = None,
    window: Window = None,
    sink_frames: Annotated[
        int | None, typer.Option("--sink", help="First latent frames never forgotten.")
    ] = None,
    shift: Annotated[float | None, typer.Option(help="The flow shift of the schedule.")] = None,
    fast: Fast = False,
    linears: Linears = None,
    attention: AttentionIn = None,
    tiny_decoder: TinyDecoder = None,
    steps: Annotated[str | None, typer.Option(help="Schedule indices, such as 0,250,500,750.")] = None,
    quality: Annotated[
        Literal["web", "master", "draft"], typer.Option(help="master keeps every pixel exactly.")
    ] = "web",
    codec: Annotated[str | None, typer.Option(help="Such as h264, x264, hevc, av1, vp9, ffv1.")] = None,
    crf: Annotated[int | None, typer.Option(min=0, max=100, help="The codec's quality number.")] = None,
    format: Annotated[str | None, typer.Option(help="The format where the name does not say it.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    overlay: Annotated[
        Literal["none", "keys", "burn"],
        typer.Option(help="keys: a copy that shows keys and prompt; burn: show them on the film itself."),
    ] = "none",
    no_metadata: Annotated[
        bool, typer.Option("--no-metadata", help="Leave out of the film how it was made.")
    ] = False,
    preview: Preview = None,
    engine: Annotated[
        str | None,
        typer.Option(help="Have it made by a server, such as ws://HOST:30000; its token from LINGBOT_TOKEN."),
    ] = None,
    resume: Annotated[
        Literal["exact", "fast"] | None,
        typer.Option(help="Go on where an interrupted run of this film ended; fast is approximate."),
    ] = None,
    fork_at: Annotated[
        str | None, typer.Option(help="Go on from this moment of an earlier run with a changed timeline.")
    ] = None,
    keep_latents: Annotated[
        bool, typer.Option("--keep-latents", help="Keep what --fork-at needs when the film is whole.")
    ] = False,
    save_poses: Annotated[
        Path | None,
        typer.Option(help="Also write the camera of every frame to this folder, as --poses reads."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, the memory and the outputs; make nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Render an image, a prompt and a timeline into a film.

    Example: lingbot render samples/courtyard-day.png --timeline recipes/first-walk.yaml -o walk.mp4
    """
    from lingbot_cli.cli.times import time_option
    from lingbot_cli.errors import LingbotError, UsageError
    from lingbot_cli.remote.client import RemoteTarget
    from lingbot_cli.render.excerpt import select_frames
    from lingbot_cli.render.launcher import launch_processes
    from lingbot_cli.render.multi_gpu import ProcessGroup, check_heads, check_multi_gpu, exit_follower
    from lingbot_cli.render.preflight import preflight
    from lingbot_cli.render.render import render_as_follower, render_video
    from lingbot_cli.render.request import Request, prepare
    from lingbot_cli.runtime.model_options import ModelOptions, parse_steps
    from lingbot_cli.sinks.base import TeeSink
    from lingbot_cli.sinks.factory import OutputOptions, choose_sinks
    from lingbot_cli.sinks.output_paths import copy_name
    from lingbot_cli.sinks.overlay import OverlaySink
    from lingbot_cli.timeline.poses_dir import check_overwrite, write_poses_dir
    from lingbot_cli.timeline.resolve import TimelineOverrides

    env: Env = ctx.obj
    targets = output or [f"{image.stem}.mp4"]
    piped = "-" in targets
    json_to = env.err if piped else env.out
    display, shown = choose_watching(preview, env, quiet=quiet, as_json=as_json, json_to=json_to)
    keeping = _keeping(targets, resume, time_option("--fork-at", fork_at), keep_latents, overwrite)
    length = time_option("--duration", duration)
    flags = TimelineOverrides(
        prompt=prompt, fps=fps, duration=length, scale=scale, allow_outside=allow_outside
    )
    gang = ProcessGroup.of(env.environ)
    where = gang.device(device) if gang else device
    model_options = ModelOptions(
        model=model,
        assets=assets,
        device=where,
        precision=precision,
        window=window,
        fast=fast,
        linears=linears,
        attention=attention,
        tiny_decoder=tiny_decoder,
        chunk=chunk,
        sink=sink_frames,
        shift=shift,
        steps=parse_steps(steps),
        decode=decode,
        text_on=text_on,
        offload=offload,
        decode_on=decode_on,
        kernel=kernel,
        compile=compile,
        threads=threads,
    )
    if engine is not None:
        _check_alone(gpus, gang, resume or fork_at or keep_latents or frames)
        keeping = None
    keep = keeping.trail.written if keeping else None
    options = OutputOptions(quality, codec, crf, format, overwrite, keep)
    remote = RemoteTarget.of(engine, model, env.environ)
    request = Request(image, timeline, moves, poses, flags, size, seed, model_options, remote)
    if gang or gpus > 1:
        check_multi_gpu(timeline, resuming=bool(resume or fork_at))
    try:
        prepared = prepare(request, env.read_stdin)
        prepared = prepared if frames is None else select_frames(prepared, frames)
        if gang and not gang.leads:
            render_as_follower(prepared, gang)
            exit_follower()
        if gpus > 1 and not gang:
            check_heads(prepared.checkpoint.preset.heads, gpus)
        if gpus > 1 and not gang and not dry_run:
            raise typer.Exit(launch_processes(env.argv, gpus, env.environ, display.warning))
        sink = choose_sinks(targets, options, env.environ, env.stdout_bytes if piped else None)
        if overlay == "burn":
            sink = OverlaySink(sink, prepared.captions(), enlarge=False)
        elif overlay == "keys":
            copies = [copy_name(target, "keys") for target in targets if target not in ("-", "null:")]
            if not copies:
                raise UsageError(
                    "--overlay keys makes a copy of a file, and no -o is one", hint="use --overlay burn"
                )
            copy = choose_sinks(copies, options, env.environ)
            sink = TeeSink([sink, OverlaySink(copy, prepared.captions(), enlarge=True)])
        if dry_run:
            outputs = [sink.name, *([f"{save_poses}/"] if save_poses else [])]
            _preview(env, prepared, outputs, as_json=as_json)
            if save_poses is not None:
                check_overwrite(save_poses, overwrite=overwrite or resume is not None)
            preflight(prepared, sink, keeping, here=remote is None)
            if keeping:
                keeping.take_up(prepared, display)
            return
        if shown is not None:
            sink = TeeSink([sink, shown])
        if save_poses is not None:
            write_poses_dir(prepared.film.compiled, save_poses, overwrite=overwrite or resume is not None)
        written = None if no_metadata else {"quality": quality, "codec": codec, "crf": crf, "frames": frames}
        render_video(prepared, sink, display, written=written, clock=env.clock, keeping=keeping, gang=gang)
    except LingbotError as error:
        display.error(error)
        raise
    finally:
        display.close()
