"""`lingbot stream`: a world on the air."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import (
    AllowOutside,
    Assets,
    AttentionIn,
    Compile,
    Decode,
    DecodeOn,
    Device,
    Duration,
    Fast,
    Fps,
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


def _targets(to: list[str] | None, to_file: Path | None, env: Env) -> list[str]:
    """The addresses, which are secrets: of the command line, of a file, else of LINGBOT_STREAM_URL."""
    from lingbot_cli.errors import UsageError
    from lingbot_cli.sinks.live.targets import read_urls

    urls = [*(to or ()), *(read_urls(to_file) if to_file is not None else ())]
    if not urls and env.environ.get("LINGBOT_STREAM_URL"):
        urls = [env.environ["LINGBOT_STREAM_URL"]]
    if not urls:
        raise UsageError(
            "where should the stream go?",
            hint="say --to rtmp://HOST/APP/KEY, --to-file, or LINGBOT_STREAM_URL",
        )
    if len(set(urls)) < len(urls):
        raise UsageError("a target is named twice")
    return urls


@app.command()
def stream(
    ctx: typer.Context,
    image: Annotated[Path, typer.Argument(help="The first picture of the world.")],
    timeline: Annotated[
        str | None,
        typer.Option("--timeline", "-t", help="What happens when: .yaml, .jsonl, or - for live events."),
    ] = None,
    moves: Annotated[str | None, typer.Option(help="Published notation, such as w-10,iw-15,none-10.")] = None,
    poses: Annotated[str | None, typer.Option(help="A folder with poses.npy and intrinsics.npy.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What the world is like.")] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            help="rtmp://HOST/APP/KEY, rtmps://…, srt://HOST:PORT, a file or null:; may be repeated."
        ),
    ] = None,
    to_file: Annotated[
        Path | None,
        typer.Option(help="A file with targets, one a line, so no key stands in the shell's history."),
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Keep what was made in a file too.")] = None,
    preview: Preview = None,
    engine: Annotated[
        str | None,
        typer.Option(help="Have it made by lingbot serve at ws://HOST:PORT; its token from LINGBOT_TOKEN."),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin the timeline again when it is over.")] = False,
    duration: Duration = None,
    pace: Annotated[
        Literal["hold", "smooth", "drop"],
        typer.Option(help="hold repeats the last frame, smooth spreads them, drop leaves some out."),
    ] = "hold",
    lead: Annotated[
        float | None,
        typer.Option(
            min=0, max=60, help="Seconds of film gathered ahead; else 1, or 0.25 with --timeline -."
        ),
    ] = None,
    bitrate: Annotated[
        int | None, typer.Option(min=50, max=100_000, help="kbit/s; else what fits the size.")
    ] = None,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave the silent sound track out.")] = False,
    size: Annotated[str | None, typer.Option(help="Such as 832x480; multiples of 16.")] = None,
    fps: Fps = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Which of many worlds.")] = None,
    allow_outside: AllowOutside = False,
    save_timeline: Annotated[
        Path | None,
        typer.Option(help="Write the live events down, as a timeline that renders the same film."),
    ] = None,
    model: ModelName = None,
    assets: Assets = None,
    device: Device = None,
    precision: Precision = None,
    decode: Decode = None,
    text_on: TextOn = None,
    offload: Offload = False,
    window: Window = None,
    fast: Fast = False,
    linears: Linears = None,
    attention: AttentionIn = None,
    tiny_decoder: TinyDecoder = None,
    decode_on: DecodeOn = None,
    kernel: Kernel = None,
    compile: Compile = None,
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Stream a world: to RTMP, RTMPS, SRT or a file, at a steady rate, until its timeline ends or Ctrl-C.

    Example: lingbot stream samples/courtyard-day.png -t recipes/look-around.jsonl --loop --to rtmp://HOST/APP/KEY
    """
    from lingbot_cli.broadcast.broadcast import LEAD_S, LIVE_LEAD_S, BroadcastOptions, broadcast
    from lingbot_cli.broadcast.source import prepare_loop, prepare_video_stream
    from lingbot_cli.errors import LingbotError, UsageError
    from lingbot_cli.remote.client import RemoteTarget
    from lingbot_cli.render.request import Request
    from lingbot_cli.runtime.model_options import ModelOptions
    from lingbot_cli.sinks.base import Sink, TeeSink
    from lingbot_cli.sinks.factory import OutputOptions, choose_sink
    from lingbot_cli.sinks.live.targets import StreamOptions, choose_target
    from lingbot_cli.timeline.resolve import TimelineOverrides

    env: Env = ctx.obj
    live = timeline == "-" and moves is None and poses is None
    if live and loop:
        raise UsageError("--loop needs a timeline that ends", hint="name a file with --timeline, or --moves")
    if save_timeline is not None and not live:
        raise UsageError(
            "--save-timeline writes down what comes on --timeline -", hint="leave one of them out"
        )
    options = StreamOptions(bitrate, not no_audio, overwrite)
    targets = [choose_target(url, options, env.environ) for url in _targets(to, to_file, env)]
    keep: Sink | None = None
    if record is not None:
        keep = choose_sink(str(record), OutputOptions(overwrite=overwrite), env.environ)
    flags = TimelineOverrides(prompt=prompt, fps=fps, duration=duration, allow_outside=allow_outside)
    model_options = ModelOptions(
        model=model,
        assets=assets,
        device=device,
        precision=precision,
        window=window,
        fast=fast,
        linears=linears,
        attention=attention,
        tiny_decoder=tiny_decoder,
        decode=decode,
        text_on=text_on,
        offload=offload,
        decode_on=decode_on,
        kernel=kernel,
        compile=compile,
        threads=threads,
    )
    remote = RemoteTarget.of(engine, model, env.environ)
    request = Request(image, timeline, moves, poses, flags, size, seed, model_options, remote)
    display, shown = choose_watching(preview, env, quiet=quiet, as_json=as_json, json_to=env.out, typed=live)
    if shown is not None:
        keep = shown if keep is None else TeeSink([keep, shown])
    ahead = lead if lead is not None else LIVE_LEAD_S if live else LEAD_S
    air = BroadcastOptions(targets, pace, ahead, keep)
    try:
        if live:
            _listen(env, request, air, display, save_timeline, overwrite)
        else:
            show = prepare_loop(request) if loop else prepare_video_stream(request)
            broadcast(show, air, display, acks=None, clock=env.clock)
    except LingbotError as error:
        display.error(error)
        raise
    finally:
        display.close()


def _listen(env: Env, request: Any, air: Any, display: Any, save: Path | None, overwrite: bool) -> None:
    """Stream what comes on standard input, and write it down in the end."""
    import json
    import os

    from lingbot_cli.broadcast.broadcast import broadcast
    from lingbot_cli.broadcast.latency import LatencyTracker
    from lingbot_cli.broadcast.source import prepare_live
    from lingbot_cli.broadcast.stdin_events import EventReader, apply_events
    from lingbot_cli.errors import LingbotError
    from lingbot_cli.files import check_folder, check_new, write_file
    from lingbot_cli.ui.display import Report
    from lingbot_cli.ui.signals import StopRequest

    if save is not None:
        check_folder(save.parent)
        check_new(save, overwrite=overwrite)

    def refused(line: int, text: str) -> None:
        display.event("skipped", Report({"line": line, "message": text.splitlines()[0]}, text))

    # Not through the stream's buffer: a thread that waits there could not be left behind at the end.
    lines = EventReader(lambda: os.read(env.stdin.fileno(), 1 << 16), refused)
    display.event("waiting", Report({}, "for the first line on standard input"))
    with StopRequest(display.warning).handling():
        header = lines.header()
    show, live = prepare_live(request, header, remember=save is not None)
    acks = LatencyTracker(live, env.clock)
    apply_events(lines, live, acks.said, env.clock)

    def write_down() -> None:
        if save is not None:
            said = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in live.record())
            write_file(save, said)

    try:
        broadcast(show, air, display, acks=acks, clock=env.clock)
    except BaseException:
        try:
            write_down()
        except LingbotError as failure:  # what ended the stream is what counts
            display.warning(str(failure))
        raise
    write_down()
