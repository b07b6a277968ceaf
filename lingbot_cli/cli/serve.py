"""`lingbot serve`: the engine as a service, for its own page and any client of the realtime protocol."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

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

app = App()


@app.command()
def serve(
    ctx: typer.Context,
    image: Annotated[
        Path | None, typer.Option("--image", "-i", help="The first picture of clients that send none.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="What the world is like for clients that do not say.")] = "",
    host: Annotated[
        str, typer.Option(help="The address to listen on; loopback unless told otherwise.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 30000,
    token: Annotated[
        str | None,
        typer.Option(envvar="LINGBOT_TOKEN", help="What clients must know; else one is made and printed."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name this server is reached by; may be repeated.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="Another page's origin, such as http://127.0.0.1:18080.")
    ] = None,
    sessions: Annotated[int, typer.Option(min=1, help="How many may play at once; others wait.")] = 1,
    alive: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many worlds stay in memory, kept ones included; else --sessions and 3."
        ),
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds a world waits for a client that is gone.")
    ] = 30,
    idle: Annotated[
        float, typer.Option(min=1, help="Seconds of silence after which a client is closed.")
    ] = 600,
    lifetime: Annotated[float, typer.Option(min=1, help="Seconds a session may last.")] = 14400,
    max_pixels: Annotated[
        int | None,
        typer.Option(min=256, help="The largest film; else 832x480 on a GPU, the world's own size without."),
    ] = None,
    max_chunks: Annotated[int | None, typer.Option(min=1, help="The longest session, in chunks.")] = None,
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
    """Serve a world over WebSockets, with a page to play it in.

    Example: lingbot serve --image samples/courtyard-day.png --port 30000
    """
    from lingbot_cli.endpoints import GENERATE_PATH
    from lingbot_cli.image import read_image
    from lingbot_cli.runtime.model_options import ModelOptions
    from lingbot_cli.server.auth import Rules, new_token
    from lingbot_cli.server.http_server import Address
    from lingbot_cli.server.protocol import Limits
    from lingbot_cli.server.serve import host as host_world
    from lingbot_cli.server.serve import load_offered, run_notes
    from lingbot_cli.server.service import Offer, Service
    from lingbot_cli.server.session_pool import Rooms

    env: Env = ctx.obj
    limits = Limits(chunks=max_chunks)
    picture = None if image is None else read_image(image)

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
    for line in run_notes(model_options):
        env.out.print(line, markup=False, soft_wrap=True)

    def service() -> Service:
        offer = Offer(picture, prompt)
        world = load_offered(model_options, offer, note)
        usual = Limits().pixels if world.device.type == "cuda" else 0
        pixels = max_pixels or max(usual, world.preset.area)
        return Service(world, replace(limits, pixels=pixels), offer)

    def say(address: str) -> None:
        env.out.print(f"page:   {address}", markup=False, soft_wrap=True)
        realtime = address.replace("http://", "ws://").replace("/?", f"{GENERATE_PATH}?")
        env.out.print(f"engine: {realtime}", markup=False, soft_wrap=True)

    host_world(
        service,
        Address(host, port),
        Rules(token or new_token(), tuple(allow_host or ()), tuple(allow_origin or ())),
        Rooms(places=sessions, alive=alive or sessions + 3, grace=grace, idle=idle, lifetime=lifetime),
        say=say,
        message_bytes=limits.message_bytes,
    )
