"""Load a model and serve it until a signal: shared by the commands `serve` and `play`."""

import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lingbot_cli.render.multi_gpu import ProcessGroup
from lingbot_cli.runtime.fast_mode import resolve_model
from lingbot_cli.runtime.model_options import ModelOptions, describe_run
from lingbot_cli.server.asgi_app import server_app
from lingbot_cli.server.auth import AccessRules
from lingbot_cli.server.http_server import HttpServer, ListenAddress, limited_protocol, page_url
from lingbot_cli.server.service import ModelService, SessionDefaults
from lingbot_cli.server.session_pool import PoolLimits, SessionPool
from lingbot_cli.ui.signals import StopRequest
from lingbot_cli.video_size import fit_size, untrained_size_note

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel
    from lingbot_cli.runtime.session_memory import SessionMemory

ASSUMED_IMAGE_SIZE = (480, 832)  # height and width of first images, before one is known
POLL_INTERVAL_S = 0.2


def run_notes(options: ModelOptions) -> list[str]:
    """Describe how the model runs, in lines, unless every option has its default."""
    if options.run_settings() == ModelOptions():
        return []
    options, checkpoint = resolve_model(options)
    return describe_run(checkpoint.preset, checkpoint.differences, options)


def load_served_model(
    options: ModelOptions,
    defaults: SessionDefaults,
    note: Callable[[str], None],
    group: ProcessGroup | None = None,
    sessions: int = 1,
) -> "tuple[WorldModel, SessionMemory]":
    """Load the model, tuned for the default image's size, its prompt encoded; return it and the sessions' memory.

    `note` receives progress lines; `group`: the processes that render with this one, which leads. Errors:
    InsufficientMemoryError before anything is loaded, if it does not fit with so many sessions.
    """
    from lingbot_cli.render.preflight import fit_sessions
    from lingbot_cli.runtime.load_model import load_tuned

    options, checkpoint = resolve_model(options)
    area = checkpoint.preset.area
    height, width = defaults.size(area) or fit_size(*ASSUMED_IMAGE_SIZE, area)
    if (size_note := untrained_size_note(checkpoint.preset.sizes, height, width)) is not None:
        note(size_note)
    latents = max(checkpoint.preset.window, checkpoint.preset.chunk)  # a session fills the window
    gpus = 1 if group is None else group.size
    memory = fit_sessions(checkpoint, options, height, width, latents, gpus=gpus, sessions=sessions)
    model = load_tuned(
        checkpoint, options, (defaults.prompt,), height, width, note=note, warn=note, group=group
    )
    return model, memory


def warm_up(service: ModelService, pool: SessionPool) -> None:
    """Render a first chunk with the defaults; to measure the speed, as many as fill the attention window, and two."""
    if pool.limits.min_fps is None:
        service.warm_up(1)
        return
    from lingbot_cli.diagnostics.timers import warm_up_chunks

    for frames, seconds in service.warm_up(warm_up_chunks(service.model.preset) + 2)[-2:]:
        pool.capacity.chunk_rendered(frames, seconds)


def run_server(
    service: Callable[[], ModelService],
    address: ListenAddress,
    rules: AccessRules,
    pool_limits: PoolLimits,
    *,
    announce: Callable[[str, SessionPool], None],
    max_message_bytes: int,
) -> None:
    """Serve until a signal; `announce` is called with the page's URL and the pool. Errors: InterruptedRun.

    After SIGTERM the sessions may end by themselves for the limits' `drain_s`, and no new ones begin.
    """
    bound = address.bind()
    try:
        served = service()
        pool = SessionPool(pool_limits, served.memory)
        if served.defaults.image is not None:
            warm_up(served, pool)
        server = HttpServer(
            server_app(served, rules, pool),
            bound,
            max_message_bytes=max_message_bytes,
            protocol=limited_protocol(per_address=rules.per_address),
        )
        wait = threading.Event()
        with StopRequest(lambda _text: wait.set()).handling() as stopped:
            stopped.graceful = True
            server.start()
            try:
                announce(page_url(bound, rules.token), pool)
                while server.running and not wait.wait(POLL_INTERVAL_S):
                    served.check()
                if stopped.number == signal.SIGTERM:
                    pool.drain()
                    end = time.monotonic() + pool_limits.drain_s
                    while pool.sessions and server.running and time.monotonic() < end:
                        served.check()
                        time.sleep(POLL_INTERVAL_S)
            finally:
                server.stop()
            stopped.check(whole=False)
    finally:
        bound.close()
