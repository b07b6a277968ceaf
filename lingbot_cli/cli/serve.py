"""`lingbot serve`: the model as a service, with a page and the realtime protocol."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.model_flags import MODEL_FLAGS
from lingbot_cli.cli.option_groups import option
from lingbot_cli.cli.options import exit_after_stop
from lingbot_cli.env import Env
from lingbot_cli.errors import RunInterrupted
from lingbot_cli.runtime.model_options import ModelOptions

if TYPE_CHECKING:
    from lingbot_cli.server.auth import AccessRules
    from lingbot_cli.server.session_pool import PoolLimits

app = App()


@dataclass(frozen=True)
class AccessFlags:
    """Address of the server and admission to it."""

    panel: ClassVar[str] = "Server"

    host: Annotated[str, option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, option("--port", min=0, max=65535, help="Port; 0 takes any free one.")] = 30000
    token: Annotated[
        str | None,
        option(
            "--token",
            envvar="LINGBOT_TOKEN",
            help="Token of the clients.",
            show_default="a random one, which is printed",
        ),
    ] = None
    allow_host: Annotated[
        list[str] | None,
        option("--allow-host", metavar="NAME", help="Host name that clients may use. Repeatable."),
    ] = None
    allow_origin: Annotated[
        list[str] | None,
        option(
            "--allow-origin",
            metavar="URL",
            help="Origin of another page, such as http://127.0.0.1:18080. Repeatable.",
        ),
    ] = None

    def rules(self) -> "AccessRules":
        """Return who is admitted."""
        from lingbot_cli.server.auth import AccessRules, new_token

        token = self.token or new_token()
        return AccessRules(token, tuple(self.allow_host or ()), tuple(self.allow_origin or ()))


@dataclass(frozen=True)
class SessionFlags:
    """Limits of sessions."""

    panel: ClassVar[str] = "Sessions"

    sessions: Annotated[int, option("--sessions", min=1, help="Sessions at a time; more clients wait.")] = 1
    alive: Annotated[
        int | None,
        option(
            "--alive",
            min=1,
            help="Sessions in memory, those without a client among them.",
            show_default="--sessions and 3",
        ),
    ] = None
    grace: Annotated[
        float,
        option("--grace", min=0, metavar="SECONDS", help="Seconds that a session waits for its lost client."),
    ] = 30
    idle: Annotated[
        float,
        option(
            "--idle", min=1, metavar="SECONDS", help="Seconds without input after which a client is closed."
        ),
    ] = 600
    lifetime: Annotated[
        float, option("--lifetime", min=1, metavar="SECONDS", help="Seconds that a session may last.")
    ] = 14400
    max_pixels: Annotated[
        int | None,
        option(
            "--max-pixels",
            min=256,
            help="Largest frame, in pixels.",
            show_default="832x480 on a GPU, else the model's",
        ),
    ] = None
    max_chunks: Annotated[
        int | None, option("--max-chunks", min=1, help="Longest session, in chunks.", show_default="no limit")
    ] = None

    def pool_limits(self) -> "PoolLimits":
        """Return the limits of the session pool."""
        from lingbot_cli.server.session_pool import PoolLimits

        alive = self.alive or self.sessions + 3
        return PoolLimits(
            slots=self.sessions,
            alive=alive,
            grace_s=self.grace,
            idle_timeout_s=self.idle,
            lifetime_s=self.lifetime,
        )


@app.command()
def serve(
    ctx: typer.Context,
    access: AccessFlags,
    sessions: SessionFlags,
    model: Annotated[ModelOptions, MODEL_FLAGS],
    image: Annotated[
        Path | None,
        option("--image", "-i", panel="Camera and prompt", help="First frame for clients that send none."),
    ] = None,
    prompt: Annotated[
        str, option("--prompt", panel="Camera and prompt", help="First prompt for clients that send none.")
    ] = "",
) -> None:
    """Serve the model over WebSockets, with a page to play it in, until Ctrl-C.

    Example: lingbot serve --image samples/courtyard-day.png --port 30000
    """
    from lingbot_cli.endpoints import GENERATE_PATH
    from lingbot_cli.image import read_image
    from lingbot_cli.server.http_server import ListenAddress
    from lingbot_cli.server.protocol import ClientLimits
    from lingbot_cli.server.serve import load_served_model, run_notes, run_server
    from lingbot_cli.server.service import ModelService, SessionDefaults

    env: Env = ctx.obj
    limits = ClientLimits(max_chunks=sessions.max_chunks)
    offer = SessionDefaults(None if image is None else read_image(image), prompt)
    note = partial(env.err.print, markup=False, soft_wrap=True)
    report = partial(env.out.print, markup=False, soft_wrap=True)
    for line in run_notes(model):
        report(line)

    def load_service() -> ModelService:
        world = load_served_model(model, offer, note)
        least = ClientLimits().max_pixels if world.device.type == "cuda" else 0
        pixels = sessions.max_pixels or max(least, world.preset.area)
        return ModelService(world, replace(limits, max_pixels=pixels), offer)

    def print_addresses(page: str) -> None:
        report(f"page:   {page}")
        report(f"engine: {page.replace('http://', 'ws://').replace('/?', f'{GENERATE_PATH}?')}")

    address, rules = ListenAddress(access.host, access.port), access.rules()
    try:
        run_server(
            load_service,
            address,
            rules,
            sessions.pool_limits(),
            announce=print_addresses,
            max_message_bytes=limits.max_message_bytes,
        )
    except RunInterrupted as stop:
        exit_after_stop(env, stop)
