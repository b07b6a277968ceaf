"""HTTP server of an ASGI application, in a thread of its own, with limits of silent connections."""

import asyncio
import socket
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.operating_system import max_open_files

SHUTDOWN_TIMEOUT_S = 3  # for open connections
HEADER_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 1000
RESERVED_FILES = 128  # for the model, logs and outputs


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


def page_url(bound: socket.socket, token: str | None) -> str:
    """Return the URL to open in a browser, with the token if there is one."""
    host, port = bound.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/" + ("" if token is None else f"?token={quote(token, safe='')}")


def default_max_connections() -> int:
    """Return the cap: half the files that the process may open, at most `MAX_CONNECTIONS`."""
    limit = max_open_files()
    return MAX_CONNECTIONS if limit is None else max(16, min(MAX_CONNECTIONS, (limit - RESERVED_FILES) // 2))


class ConnectionRegistry:
    """Open connections; those that have not sent a request yet make place for new ones, the oldest first."""

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._silent: OrderedDict[asyncio.Transport, None] = OrderedDict()
        self._served: set[asyncio.Transport] = set()

    def admit(self, transport: asyncio.Transport) -> bool:
        """Add a new connection; False when all places are taken by connections that are served."""
        if len(self) >= self._max_connections:
            if not self._silent:
                return False
            oldest = next(iter(self._silent))
            self.remove(oldest)
            oldest.abort()
        self._silent[transport] = None
        return True

    def request_received(self, transport: asyncio.Transport) -> None:
        """Record that a connection has sent its first request."""
        if transport in self._silent:
            del self._silent[transport]
            self._served.add(transport)

    def remove(self, transport: asyncio.Transport) -> None:
        """Forget a connection."""
        self._silent.pop(transport, None)
        self._served.discard(transport)

    def __len__(self) -> int:
        return len(self._silent) + len(self._served)


class LimitedWebSocket(WebSocketsSansIOProtocol):
    """WebSocket that gives the place of its connection back when it ends."""

    registry: ConnectionRegistry

    def connection_lost(self, exc: Exception | None) -> None:
        self.registry.remove(self.transport)
        super().connection_lost(exc)


class LimitedProtocol(H11Protocol):
    """HTTP connection that is dropped without a whole request header in time, or when its place is needed."""

    registry: ConnectionRegistry
    websocket: type[LimitedWebSocket]
    header_timeout_s: float = HEADER_TIMEOUT_S

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        if not self.registry.admit(transport):
            transport.abort()
            return
        self._timer = asyncio.get_running_loop().call_later(self.header_timeout_s, self.drop)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._timer is not None and (self.cycle is not None or self.transport.get_protocol() is not self):
            self._timer.cancel()
            self._timer = None
            self.registry.request_received(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.registry.remove(self.transport)
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close the connection at once."""
        self.registry.remove(self.transport)
        self.transport.abort()


def limited_protocol(
    max_connections: int | None = None, header_timeout_s: float = HEADER_TIMEOUT_S
) -> type[LimitedProtocol]:
    """Return the protocol class of one server, with a registry of its own."""
    registry = ConnectionRegistry(max_connections or default_max_connections())
    websocket = type("ServerWebSocket", (LimitedWebSocket,), {"registry": registry})
    members = {"registry": registry, "websocket": websocket, "header_timeout_s": header_timeout_s}
    return type("ServerProtocol", (LimitedProtocol,), members)


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
        protocol = protocol or limited_protocol()
        config = uvicorn.Config(
            app,
            http=protocol,
            log_config=None,
            access_log=False,  # it would print the token
            ws=protocol.websocket,
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
