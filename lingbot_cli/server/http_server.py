"""HTTP server of an ASGI application, in a thread of its own."""

import socket
import threading
from dataclasses import dataclass
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp

from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.server.connection_limits import LimitedProtocol, limited_protocol

SHUTDOWN_TIMEOUT_S = 3  # for open connections


@dataclass(frozen=True)
class ListenAddress:
    """Address to listen on; port 0 lets the system choose one."""

    host: str = "127.0.0.1"
    port: int = 0

    def bind(self) -> socket.socket:
        """Return a listening socket. Errors: UsageError for an invalid address, SetupError for one not available."""
        try:
            family = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
            bound = socket.socket(family, socket.SOCK_STREAM)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self.host, self.port))
            bound.listen(128)
        except UnicodeError as error:  # a name that cannot be looked up
            raise UsageError(
                f"--host {self.host}: not a name or an address", hint="use one such as 127.0.0.1"
            ) from error
        except OSError as error:
            raise SetupError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror or error}",
                hint="choose another --port, or 0 for any free one",
            ) from error
        return bound


def page_url(bound: socket.socket, token: str | None, path: str = "/") -> str:
    """Return the URL to open in a browser, with the token if there is one."""
    host, port = bound.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}{path}" + ("" if token is None else f"?token={quote(token, safe='')}")


class HttpServer:
    """Serves one application on a bound socket; signals are left to the caller."""

    def __init__(
        self,
        app: ASGIApp,
        bound: socket.socket,
        *,
        max_message_bytes: int,
        protocol: type[LimitedProtocol] | None = None,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=protocol or limited_protocol(),
            log_config=None,
            access_log=False,  # it would print the token
            ws="websockets-sansio",
            ws_max_size=max_message_bytes,
            ws_per_message_deflate=False,  # frames are compressed already
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
            server_header=False,
            lifespan="on",
        )
        self._server = uvicorn.Server(config)
        # In the main thread uvicorn would install signal handlers.
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [bound]}, name="server", daemon=True
        )

    def start(self) -> None:
        """Start the server's thread."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """True while the server's thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop the server, from any thread."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(SHUTDOWN_TIMEOUT_S + 2)
