"""`lingbot serve`: the model as a service, with a page and the realtime protocol."""

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, ClassVar

import typer

from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.model_flags import MODEL_FLAGS, Gpus, shared_by_gpus
from lingbot_cli.cli.options import exit_after_stop, image_file
from lingbot_cli.env import Env
from lingbot_cli.errors import RunInterrupted, UsageError
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.video_size import MAX_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingbot_cli.server.auth import AccessRules, ResumeKeys
    from lingbot_cli.server.session_pool import PoolLimits, SessionPool

app = App()
MAX_MEASURED_SESSIONS = 16
ANY_SIZE_PIXELS = 1920 * 1088


@dataclass(frozen=True)
class AccessFlags:
    """Address of the server and admission to it."""

    panel: ClassVar[str] = "Server"

    host: Annotated[str, option("Address to listen on.", metavar="ADDRESS")] = "127.0.0.1"
    port: Annotated[int, option("Port; 0 takes any free one.", min=0, max=65535)] = 30000
    token: Annotated[
        str | None,
        option("Token of the clients.", envvar="LINGBOT_TOKEN", default="a random one, which is printed"),
    ] = None
    no_token: Annotated[bool, option("Admit everybody on this machine; loopback addresses only.")] = False
    allow_host: Annotated[
        list[str] | None, option("Host name that clients may use. Repeatable.", metavar="NAME")
    ] = None
    allow_origin: Annotated[
        list[str] | None,
        option("Origin of another page, such as http://127.0.0.1:18080. Repeatable.", metavar="URL"),
    ] = None
    per_address: Annotated[
        int,
        option("Connections of one address at a time, 0 for no limit; a proxy is one address.", min=0),
    ] = 64
    name: Annotated[
        str,
        option(
            "Name of this server in resume keys, one of several behind a balancer.",
            metavar="NAME",
            default="none",
        ),
    ] = ""

    def rules(self) -> "AccessRules":
        """Return who is admitted. Errors: UsageError for --no-token on an address that others reach."""
        from lingbot_cli.server.auth import AccessRules, is_loopback, new_token

        if self.no_token and not is_loopback(self.host):
            raise UsageError(
                f"--no-token: {self.host} can be reached by other machines",
                hint="leave --host out, or leave --no-token out and give clients the token",
            )
        token = None if self.no_token else self.token or new_token()
        hosts, origins = tuple(self.allow_host or ()), tuple(self.allow_origin or ())
        return AccessRules(token, hosts, origins, self.per_address)

    def resume_keys(self, rules: "AccessRules") -> "ResumeKeys":
        """Return the keys of this server, signed with the token. Errors: UsageError for a wrong --name."""
        from lingbot_cli.server.auth import ResumeKeys, check_server_name

        return ResumeKeys(check_server_name(self.name), rules.token)


@dataclass(frozen=True)
class SessionFlags:
    """Limits of sessions."""

    panel: ClassVar[str] = "Sessions"

    sessions: Annotated[
        int | None,
        option(
            "Sessions at a time; more clients wait.",
            min=1,
            default=f"1; with --min-fps as many as fit in memory, {MAX_MEASURED_SESSIONS} at most",
        ),
    ] = None
    min_fps: Annotated[
        float | None,
        option(
            "Frames a second of every session: clients wait when another session would get less.",
            min=1,
            max=120,
            metavar="FPS",
            default="no limit",
        ),
    ] = None
    alive: Annotated[
        int | None,
        option(
            "Most sessions in memory, those that wait for lost clients among them.",
            min=1,
            default="as many as fit in memory",
        ),
    ] = None
    grace: Annotated[
        float, option("Seconds that a session waits for its lost client.", min=0, metavar="SECONDS")
    ] = 30
    idle: Annotated[
        float, option("Seconds without input after which a client is closed.", min=1, metavar="SECONDS")
    ] = 600
    lifetime: Annotated[float, option("Seconds that a session may last.", min=1, metavar="SECONDS")] = 14400
    drain: Annotated[
        float,
        option(
            "Seconds after SIGTERM for the sessions to end; no new ones begin.",
            min=0,
            metavar="SECONDS",
        ),
    ] = 0
    max_pixels: Annotated[
        int | None, option("Largest frame, in pixels.", min=256, default="832x480 on a GPU, else the model's")
    ] = None
    any_size: Annotated[
        bool, option("Render every size up to 1920x1088, whatever the model was made for.")
    ] = False
    max_chunks: Annotated[int | None, option("Longest session, in chunks.", min=1, default="no limit")] = None

    def pixels(self, usual: int) -> int:
        """Return the largest frame in pixels for a model of `usual` ones. Errors: UsageError for both flags."""
        if self.any_size and self.max_pixels is not None:
            raise UsageError("--any-size and --max-pixels exclude each other", hint="use one of them")
        return ANY_SIZE_PIXELS if self.any_size else self.max_pixels or usual

    def pool_limits(self) -> "PoolLimits":
        """Return the limits of the session pool."""
        from lingbot_cli.server.session_pool import PoolLimits

        sessions = self.sessions or (1 if self.min_fps is None else MAX_MEASURED_SESSIONS)
        return PoolLimits(
            slots=sessions,
            min_fps=self.min_fps,
            alive=self.alive,
            grace_s=self.grace,
            idle_timeout_s=self.idle,
            drain_s=self.drain,
            lifetime_s=self.lifetime,
        )


def _log_chunks(file: IO[str]) -> None:
    handler = logging.StreamHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("lingbot.server.chunks")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _print_addresses(report: "Callable[[str], None]", page: str, pool: "SessionPool") -> None:
    """Report the addresses of the page and of the realtime endpoint, and the measured number of players."""
    from lingbot_cli.endpoints import GENERATE_PATH

    report(f"page:   {page}")
    address, _, query = page.replace("http://", "ws://").partition("?")
    report(f"engine: {address.rstrip('/')}{GENERATE_PATH}{'?' if query else ''}{query}")
    if pool.limits.min_fps is not None:
        report(f"{pool.capacity}, {pool.capacity.fps:.1f} fps in all")


@app.command()
def serve(
    ctx: typer.Context,
    access: AccessFlags,
    sessions: SessionFlags,
    model: Annotated[ModelOptions, MODEL_FLAGS],
    image: Annotated[
        Path | None,
        option(
            "First frame for clients that send none.",
            names="-i --image",
            panel="Camera and prompt",
            parser=image_file,
            metavar="FILE",
        ),
    ] = None,
    prompt: Annotated[str, option("First prompt for clients without one.", panel="Camera and prompt")] = "",
    gpus: Gpus = 1,
    log_chunks: Annotated[
        bool, option("Log the times of every chunk to standard error.", panel="Display")
    ] = False,
) -> None:
    """Serve the model over WebSockets, with a page to play it in, until Ctrl-C.

    Example: lingbot serve --image samples/courtyard-day.png --port 30000
    """
    from lingbot_cli.image import read_image
    from lingbot_cli.server.http_server import ListenAddress
    from lingbot_cli.server.protocol import ClientLimits
    from lingbot_cli.server.serve import load_served_model, run_notes, run_server
    from lingbot_cli.server.service import ModelService, SessionDefaults

    env: Env = ctx.obj
    limits = ClientLimits(max_chunks=sessions.max_chunks)
    offer = SessionDefaults(None if image is None else read_image(image), prompt)
    sessions.pixels(0)
    address, rules = ListenAddress(access.host, access.port), access.rules()
    keys = access.resume_keys(rules)
    with shared_by_gpus(env, model, gpus) as (options, group):
        if log_chunks:
            _log_chunks(env.err.file)
        env.print(*run_notes(options))

        def load_service() -> ModelService:
            world, memory = load_served_model(options, offer, env.note, group, sessions.sessions or 1)
            least = ClientLimits().max_pixels if world.device.type == "cuda" else 0
            largest = sessions.pixels(max(least, int(MAX_SHARE * world.preset.area)))
            served = replace(limits, max_pixels=largest)
            return ModelService(world, served, offer, resume_keys=keys, memory=memory)

        try:
            run_server(
                load_service,
                address,
                rules,
                sessions.pool_limits(),
                announce=partial(_print_addresses, env.print),
                max_message_bytes=limits.max_message_bytes,
            )
        except RunInterrupted as stop:
            exit_after_stop(env, stop)
