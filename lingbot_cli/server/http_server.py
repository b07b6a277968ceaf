"""HTTP server of an ASGI application, in a thread of its own, with limits of silent connections."""

import asyncio
import ipaddress
import logging
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.operating_system import max_open_files

log = logging.getLogger("lingbot.server")

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


def network_of(host: str) -> str:
    """Return the network that counts as one address: an IPv4 address, or the /64 that one IPv6 customer has."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None or address.version == 4:
        return str(mapped or address)
    return str(ipaddress.ip_network((address, 64), strict=False))


class ConnectionRegistry:
    """Open connections, in all and of each address.

    Those that have not sent a request yet make place for new ones, the oldest first. `per_address` 0: no limit.
    """

    def __init__(self, max_connections: int, per_address: int = 0) -> None:
        self._max_connections = max_connections
        self._per_address = per_address
        self._silent: dict[asyncio.Transport, str] = {}  # the network of each, the oldest first
        self._served: dict[asyncio.Transport, str] = {}
        self._counts: Counter[str] = Counter()

    def admit(self, transport: asyncio.Transport) -> bool:
        """Add a new connection; False when all places are taken by connections that are served."""
        network = network_of((transport.get_extra_info("peername") or ("",))[0])
        if self._per_address and self._counts[network] >= self._per_address:
            if not self._drop_silent(network):
                log.warning(
                    "refused %s: it has %d connections; see --per-address", network, self._per_address
                )
                return False
        elif len(self) >= self._max_connections and not self._drop_silent():
            log.warning("refused %s: all %d connections are in use", network, self._max_connections)
            return False
        self._silent[transport] = network
        self._counts[network] += 1
        return True

    def _drop_silent(self, network: str | None = None) -> bool:
        """Drop the oldest connection without a request, of a network or of all; False if there is none."""
        for transport, its_network in self._silent.items():
            if network in (None, its_network):
                self.remove(transport)
                transport.abort()
                return True
        return False

    def request_received(self, transport: asyncio.Transport) -> None:
        """Record that a connection has sent its first request."""
        if transport in self._silent:
            self._served[transport] = self._silent.pop(transport)

    def remove(self, transport: asyncio.Transport) -> None:
        """Forget a connection."""
        network = self._silent.pop(transport, None) or self._served.pop(transport, None)
        if network is not None:
            self._counts[network] -= 1
            if not self._counts[network]:
                del self._counts[network]

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
    max_connections: int | None = None,
    header_timeout_s: float = HEADER_TIMEOUT_S,
    per_address: int = 0,
) -> type[LimitedProtocol]:
    """Return the protocol class of one server, with a registry of its own."""
    registry = ConnectionRegistry(max_connections or default_max_connections(), per_address)
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
