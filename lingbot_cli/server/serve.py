"""A served world from its loading to its end: what `serve` and `play` have in common."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.image import fit_size
from lingbot_cli.render.request import Described, Request, on_this_machine, run_lines, settled
from lingbot_cli.runtime.model_options import Settings
from lingbot_cli.server.app import server_app
from lingbot_cli.server.auth import Rules
from lingbot_cli.server.http_server import Address, HttpServer, page_url
from lingbot_cli.server.service import Offer, Service
from lingbot_cli.server.session_pool import Rooms
from lingbot_cli.ui.signals import StopRequest

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel

USUAL_SHAPE = (480, 832)  # height and width of pictures that clients will send, before one is known
_GLANCE = 0.2  # seconds between looks at whether a signal has come


@dataclass(frozen=True)
class Game:
    """What a world to be played in is loaded for."""

    here: Checkpoint
    request: Request
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """Which world to load, as the command line names it; `note` hears how it is run."""

    model: str | None = None
    assets: Path | None = None
    device: str | None = None
    precision: str | None = None

    settings: Settings = field(default_factory=Settings)
    note: Callable[[str], None] = lambda _text: None

    def unusual(self) -> list[str]:
        """How the world is run, in lines, where that is not as usual."""
        if self.settings == Settings():
            return []
        request, model = self._settled()
        return run_lines(model, request.settings)

    def load(self, offer: Offer) -> "WorldModel":
        """The world, made ready for what is offered: its picture's size, and the prompt it will hear first."""
        from lingbot_cli.runtime.load_model import opened

        request, model = self._settled()
        height, width = offer.size(model.preset.area) or fit_size(*USUAL_SHAPE, model.preset.area)
        game = Game(on_this_machine(model), request, (offer.prompt,))
        return opened(game, height, width, note=self.note, warn=self.note)

    def _settled(self) -> tuple[Request, Described]:
        return settled(
            Request(
                Path(),
                model=self.model,
                assets=self.assets,
                device=self.device,
                precision=self.precision,
                settings=self.settings,
            )
        )


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
        if offered.offer.picture is not None:
            offered.warm()
        server = HttpServer(server_app(offered, rules, rooms), bound, message_bytes=message_bytes)
        wait = threading.Event()
        with StopRequest(lambda _text: wait.set()).handling() as stopped:
            stopped.graceful = True
            server.start()
            try:
                say(page_url(bound, rules.token))
                while server.serving and not wait.wait(_GLANCE):
                    pass
            finally:
                server.stop()
            stopped.check(whole=False)
    finally:
        bound.close()
