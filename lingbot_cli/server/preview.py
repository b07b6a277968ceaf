"""A sink that shows the film while it is made, and keeps nothing of it."""

from collections.abc import Callable

import numpy as np

from lingbot_cli.server.auth import Rules, new_token
from lingbot_cli.server.http_server import Address, HttpServer, page_url
from lingbot_cli.server.watch import PreviewClients, preview_app
from lingbot_cli.sinks.base import VideoInfo

_MESSAGE_BYTES = 64 * 1024  # a watcher has nothing to say


class PreviewSink:
    """A page on a loopback address, told to `say` when it can be opened; it never holds the film up."""

    name = ""  # a film is not named after who watches it

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._watchers: PreviewClients | None = None
        self._server: HttpServer | None = None

    def resumable_frames(self, film: VideoInfo, limit: int) -> dict[str, int]:  # noqa: ARG002
        return {}

    def preflight(self, film: VideoInfo) -> None:  # noqa: ARG002
        return None

    def open(self, film: VideoInfo) -> None:
        rules = Rules(new_token())
        bound = Address().bind()
        self._watchers = PreviewClients(film.fps)
        self._server = HttpServer(preview_app(self._watchers, rules), bound, message_bytes=_MESSAGE_BYTES)
        self._server.start()
        self._say(f"watch it at {page_url(bound, rules.token)}")

    def write(self, frames: np.ndarray) -> None:
        if self._watchers is None:
            raise RuntimeError("the sink is not open")
        self._watchers.publish(frames)

    def check(self) -> None:
        return None

    def close(self) -> None:
        if self._server is not None:
            self._server.stop()

    def abort(self) -> str | None:
        self.close()
        return None
