"""A served world from its loading to its end: what `serve` and `play` have in common."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lingbot_cli.live.app import live_app
from lingbot_cli.live.guard import Rules
from lingbot_cli.live.hub import Rooms
from lingbot_cli.live.server import Address, Server, url
from lingbot_cli.live.service import Service
from lingbot_cli.run.signals import Interruption

if TYPE_CHECKING:
    from lingbot_cli.world.world import World

_GLANCE = 0.2  # seconds between looks at whether a signal has come


@dataclass(frozen=True)
class Model:
    """Which world to load, as the command line names it."""

    model: str | None = None
    assets: Path | None = None
    device: str | None = None
    precision: str | None = None

    def load(self, prompt: str) -> "World":
        """The world, with the prompt it will hear first already encoded."""
        from lingbot_cli.weights.load import load_world

        return load_world(
            self.model,
            assets=self.assets,
            device=self.device,
            precision=self.precision,
            prompts=(prompt,),
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
        server = Server(live_app(offered, rules, rooms), bound, message_bytes=message_bytes)
        wait = threading.Event()
        with Interruption(lambda _text: wait.set()).listening() as stopped:
            stopped.politely = True
            server.start()
            try:
                say(url(bound, rules.token))
                while server.serving and not wait.wait(_GLANCE):
                    pass
            finally:
                server.stop()
            stopped.check(whole=False)
    finally:
        bound.close()
