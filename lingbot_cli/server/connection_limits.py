"""Limits of connections before their first request: time for the header, and a cap in all."""

import asyncio
from collections import OrderedDict
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 1000
RESERVED_FILES = 128  # for the model, logs and outputs


def default_max_connections() -> int:
    """Return the cap: half the files that the process may open, at most `MAX_CONNECTIONS`."""
    try:
        from resource import RLIMIT_NOFILE, getrlimit
    except ImportError:  # Windows, which has no such limit
        return MAX_CONNECTIONS
    return max(16, min(MAX_CONNECTIONS, (getrlimit(RLIMIT_NOFILE)[0] - RESERVED_FILES) // 2))


class ConnectionRegistry:
    """Open connections; those that have not sent a request yet make place for new ones, the oldest first."""

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._silent: OrderedDict[LimitedProtocol, asyncio.BaseTransport] = OrderedDict()
        self._served: set[asyncio.BaseTransport] = set()

    def admit(self, protocol: "LimitedProtocol", transport: asyncio.BaseTransport) -> bool:
        """Add a new connection; False when all places are taken by connections that are served."""
        self._served = {each for each in self._served if not each.is_closing()}
        for each, its_transport in list(self._silent.items()):
            if its_transport.is_closing():
                del self._silent[each]
        while self._silent and len(self) >= self._max_connections:
            next(iter(self._silent)).drop()
        if len(self) >= self._max_connections:
            return False
        self._silent[protocol] = transport
        return True

    def request_received(self, protocol: "LimitedProtocol") -> None:
        """Record that a connection has sent its first request."""
        transport = self._silent.pop(protocol, None)
        if transport is not None:
            self._served.add(transport)

    def remove(self, protocol: "LimitedProtocol") -> None:
        """Forget a connection that has not sent a request."""
        self._silent.pop(protocol, None)

    def __len__(self) -> int:
        return len(self._silent) + len(self._served)


class LimitedProtocol(H11Protocol):
    """HTTP connection that is dropped without a whole request header in time, or when its place is needed."""

    registry: ConnectionRegistry
    header_timeout_s: float = HEADER_TIMEOUT_S

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        if not self.registry.admit(self, transport):
            transport.abort()
            return
        self._timer = asyncio.get_running_loop().call_later(self.header_timeout_s, self.drop)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._timer is not None and (self.cycle is not None or self.transport.get_protocol() is not self):
            self._timer.cancel()
            self._timer = None
            self.registry.request_received(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.registry.remove(self)
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close the connection at once."""
        self.registry.remove(self)
        self.transport.abort()


def limited_protocol(
    max_connections: int | None = None, header_timeout_s: float = HEADER_TIMEOUT_S
) -> type[LimitedProtocol]:
    """Return the protocol class of one server, with a registry of its own."""
    registry = ConnectionRegistry(max_connections or default_max_connections())
    members = {"registry": registry, "header_timeout_s": header_timeout_s}
    return type("ServerProtocol", (LimitedProtocol,), members)
