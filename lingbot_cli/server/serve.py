"""A served world from its loading to its end: what `serve` and `play` have in common."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from lingbot_cli.runtime.fast_mode import resolve_model
from lingbot_cli.runtime.model_options import ModelOptions, describe_run
from lingbot_cli.server.app import server_app
from lingbot_cli.server.auth import Rules
from lingbot_cli.server.http_server import Address, HttpServer, page_url
from lingbot_cli.server.service import Offer, Service
from lingbot_cli.server.session_pool import Rooms
from lingbot_cli.ui.signals import StopRequest
from lingbot_cli.video_size import fit_size

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel

USUAL_SHAPE = (480, 832)  # height and width of pictures that clients will send, before one is known
_GLANCE = 0.2  # seconds between looks at whether a signal has come


def run_notes(options: ModelOptions) -> list[str]:
    """Describe how the model runs, in lines, unless every option has its default."""
    if options.run_settings() == ModelOptions():
        return []
    options, checkpoint = resolve_model(options)
    return describe_run(checkpoint.preset, checkpoint.differences, options)


def load_offered(options: ModelOptions, offer: Offer, note: Callable[[str], None]) -> "WorldModel":
    """Load the model, tuned for the offer's image size, its prompt encoded; progress lines go to `note`."""
    from lingbot_cli.runtime.load_model import load_tuned

    options, checkpoint = resolve_model(options)
    area = checkpoint.preset.area
    height, width = offer.size(area) or fit_size(*USUAL_SHAPE, area)
    return load_tuned(checkpoint, options, (offer.prompt,), height, width, note=note, warn=note)


def host(
    service: Callable[[], Service],
    address: Address,
    rules: Rules,
    rooms: Rooms,
    *,
    say: Callable[[str], None],
    message_bytes: int,
) -> None:
    """Serve until a signal comes; `say` hears the address as soon as it answers. Errors: InterruptedRun."""
    bound = address.bind()
    try:
        offered = service()
        if offered.offer.image is not None:
            offered.warm_up()
        server = HttpServer(server_app(offered, rules, rooms), bound, message_bytes=message_bytes)
        wait = threading.Event()
        with StopRequest(lambda _text: wait.set()).handling() as stopped:
            stopped.graceful = True
            server.start()
            try:
                say(page_url(bound, rules.token))
                while server.running and not wait.wait(_GLANCE):
                    pass
            finally:
                server.stop()
            stopped.check(whole=False)
    finally:
        bound.close()
