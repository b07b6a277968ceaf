"""An ASGI application on a socket, served beside this thread."""

import socket
import threading
from dataclasses import dataclass
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp

from lingbot_cli.errors import SetupError, UsageError

SHUTDOWN_TIMEOUT_S = 3  # seconds open connections get when the server ends


@dataclass(frozen=True)
class Address:
    """Where a server listens; port 0 lets the system choose one."""

    host: str = "127.0.0.1"
    port: int = 0

    def bind(self) -> socket.socket:
        """A listening socket; SetupError when the address is taken or not ours, UsageError when it is none."""
        try:
            family = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
            bound = socket.socket(family, socket.SOCK_STREAM)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self.host, self.port))
            bound.listen(128)
        except UnicodeError as wrong:  # of a name that cannot be looked up
            raise UsageError(
                f"--host {self.host}: neither a name nor an address", hint="write one such as 127.0.0.1"
            ) from wrong
        except OSError as failure:
            raise SetupError(
                f"{self.host}:{self.port} cannot be listened on: {failure.strerror or failure}",
                hint="choose another --port, or 0 for any",
            ) from failure
        return bound


def page_url(bound: socket.socket, token: str, path: str = "/") -> str:
    """What a person opens: the bound address with the token."""
    host, port = bound.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}{path}?token={quote(token, safe='')}"


class HttpServer:
    """One application on one bound socket. Signals stay the caller's business."""

    def __init__(self, app: ASGIApp, bound: socket.socket, *, message_bytes: int) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # it would print the token
            ws="websockets-sansio",
            ws_max_size=message_bytes,
            ws_per_message_deflate=False,  # frames are compressed already
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
            server_header=False,
            lifespan="on",
        )
        self._server = uvicorn.Server(config)
        # Never the main thread: there uvicorn would take over the signals.
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [bound]}, name="server", daemon=True
        )

    def start(self) -> None:
        """Begin to serve; connections are taken from now on."""
        self._thread.start()

    @property
    def serving(self) -> bool:
        """Whether the server's thread still runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End serving; from any thread."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(SHUTDOWN_TIMEOUT_S + 2)
