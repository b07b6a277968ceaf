"""WebSocket of one client: sends and receives MessagePack, counts and answers rejected messages."""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from lingbot_cli.endpoints import SUBPROTOCOL
from lingbot_cli.server.metrics import Metrics
from lingbot_cli.server.protocol import ClientLimits, ProtocolError, error_message, pack, unpack

DISCONNECTED = (WebSocketDisconnect, ConnectionError, TimeoutError)
"""Errors of a client that has disconnected or does not read."""

CLOSE_TIMEOUT_S = 5.0
MAX_INLINE_BYTES = 64 * 2**10  # larger messages are decoded off the event loop


class CloseConnection(Exception):
    """Ends the connection with a WebSocket close code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ClientWebSocket:
    """One message at a time in each direction; closed after too many rejected messages.

    `extended`: the client asked for our additions to the published protocol, by subprotocol or in its init.
    Published clients take a message of an unknown type for an error.
    """

    def __init__(self, socket: WebSocket, limits: ClientLimits, metrics: Metrics) -> None:
        self._socket = socket
        self.extended = SUBPROTOCOL in socket.scope.get("subprotocols", ())
        self._limits = limits
        self._metrics = metrics
        self._rejected = 0
        self._send_lock = asyncio.Lock()

    async def receive(self, timeout_s: float) -> dict[str, Any]:
        """Return the next valid message. Errors: TimeoutError, WebSocketDisconnect, CloseConnection."""
        while True:
            async with asyncio.timeout(timeout_s):
                received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1005))
            data = received.get("bytes")
            try:
                if data is None:
                    raise ProtocolError("not_messagepack", "messages are binary MessagePack, not text")
                if len(data) > self._limits.max_message_bytes:
                    raise CloseConnection(1009, "message too large")
                if len(data) > MAX_INLINE_BYTES:
                    return await asyncio.to_thread(unpack, data, self._limits)
                return unpack(data, self._limits)
            except ProtocolError as error:
                await self.reject(error)

    async def reject(self, error: ProtocolError) -> None:
        """Answer a message with an error. Errors: CloseConnection after too many."""
        self._metrics.rejected.labels(error.code).inc()
        self._rejected += 1
        await self.report(error)
        if self._rejected >= self._limits.max_rejected:
            raise CloseConnection(1008, "too many rejected messages")

    async def report(self, error: ProtocolError) -> None:
        """Send an error that counts as no rejected message."""
        await self.send(error_message(error, extended=self.extended))

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        await self.send_group((pack(message),))

    async def send_group(self, messages: Sequence[bytes]) -> list[float]:
        """Send packed messages without another one between them; returns the seconds of each.

        Errors: those of `DISCONNECTED`.
        """
        seconds = []
        async with self._send_lock, asyncio.timeout(self._limits.send_timeout_s):
            for message in messages:
                start = perf_counter()
                try:
                    await self._socket.send_bytes(message)
                except RuntimeError as error:  # an earlier send found the connection closed
                    raise WebSocketDisconnect(1006) from error
                seconds.append(perf_counter() - start)
        return seconds

    async def fail(self, error: ProtocolError) -> None:
        """Send an error and close the connection."""
        try:
            await self.send(error_message(error, extended=self.extended))
        except DISCONNECTED:
            return
        await self.close(1011, error.code)

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, unless it is closed."""
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code, reason[:100])
        except (*DISCONNECTED, RuntimeError):
            return
