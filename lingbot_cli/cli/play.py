"""`lingbot play`: walk through a world, in a browser or in the terminal."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
from lingbot_cli.env import Env

if TYPE_CHECKING:
    from lingbot_cli.server.record import Recorder
    from lingbot_cli.server.service import Offer
    from lingbot_cli.terminal.play import Load

app = App()


@app.command()
def play(
    ctx: typer.Context,
    image: Annotated[Path, typer.Argument(help="The first picture of the world.")],
    prompt: Annotated[str, typer.Option(help="What the world is like.")] = "",
    where: Annotated[
        Literal["browser", "terminal"], typer.Option("--in", help="Where it is shown and the keys come from.")
    ] = "browser",
    record: Annotated[
        Path | None, typer.Option(help="Write what was played as a timeline, such as walk.jsonl.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Such as 832x480; multiples of 16.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Which of many worlds.")] = 42,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The page's port; 0 takes any.")] = 0,
    graphics: Annotated[
        Literal["auto", "blocks", "kitty", "sixel"], typer.Option(help="How a terminal shows pictures.")
    ] = "auto",
    model: ModelName = None,
    assets: Assets = None,
    device: Device = None,
    precision: Precision = None,
    window: Window = None,
    fast: Fast = False,
    linears: Linears = None,
    attention: AttentionIn = None,
    tiny_decoder: TinyDecoder = None,
    decode: Decode = None,
    text_on: TextOn = None,
    offload: Offload = False,
    decode_on: DecodeOn = None,
    kernel: Kernel = None,
    compile: Compile = None,
    threads: Threads = None,
) -> None:
    """Play in a world: the page on this machine's loopback address, or half-blocks in the terminal.

    Over ssh, forward the port that is printed, or use the terminal. A restart begins another file: walk-2.jsonl.

    Example: lingbot play samples/courtyard-day.png --prompt "a stone courtyard" --record walk.jsonl
    """
    from lingbot_cli.image import read_image
    from lingbot_cli.runtime.model_options import ModelOptions
    from lingbot_cli.server.record import Recorder
    from lingbot_cli.server.serve import load_offered, run_notes
    from lingbot_cli.server.service import Offer
    from lingbot_cli.timeline.schema import CameraSettings
    from lingbot_cli.video_size import parse_size

    env: Env = ctx.obj
    height, width = parse_size(size) if size else (None, None)
    offer = Offer(read_image(image), prompt, seed, height, width, CameraSettings())
    recorder = Recorder(record) if record is not None else None
    note = partial(env.err.print, markup=False, soft_wrap=True)
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
    load = partial(load_offered, model_options, note=note)
    for line in run_notes(model_options):
        env.out.print(line, markup=False, soft_wrap=True)
    try:
        if where == "terminal":
            from lingbot_cli.terminal.play import play_in_terminal

            play_in_terminal(env, load, offer, recorder, graphics)
        else:
            _in_browser(env, load, offer, recorder, port)
    finally:
        if recorder is not None:
            recorder.write()


def _in_browser(env: Env, load: "Load", offer: "Offer", recorder: "Recorder | None", port: int) -> None:
    from lingbot_cli.server.auth import Rules, new_token
    from lingbot_cli.server.http_server import Address
    from lingbot_cli.server.protocol import Limits
    from lingbot_cli.server.serve import host
    from lingbot_cli.server.service import Service
    from lingbot_cli.server.session_pool import Rooms

    limits = Limits()
    if offer.height and offer.width:
        limits = Limits(pixels=max(limits.pixels, offer.height * offer.width))

    def say(address: str) -> None:
        env.out.print(f"open {address}", markup=False, soft_wrap=True)
        number = address.split("/?")[0].rsplit(":", 1)[1]
        env.out.print(
            f"from elsewhere, first: ssh -L {number}:127.0.0.1:{number} THIS-MACHINE",
            markup=False,
            soft_wrap=True,
        )

    def service() -> Service:
        if recorder is None:
            return Service(load(offer), limits, offer)
        return Service(load(offer), limits, offer, recorder.chunk_sent)

    rules = Rules(new_token())
    host(service, Address(port=port), rules, Rooms(), say=say, message_bytes=limits.message_bytes)
