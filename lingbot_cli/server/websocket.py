"""A client's WebSocket: MessagePack both ways, one message after the other, and refusals that are counted."""

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from lingbot_cli.server.metrics import Metrics
from lingbot_cli.server.protocol import Limits, ProtocolError, error_message, pack, unpack

DISCONNECTED = (WebSocketDisconnect, ConnectionError, TimeoutError)
"""What sending to a client that has vanished, or reads nothing, ends in."""


class CloseConnection(Exception):
    """The connection ends, with a WebSocket close code and a word about why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ClientWebSocket:
    """Sends and receives; a client that is refused too often has to leave."""

    def __init__(self, socket: WebSocket, limits: Limits, metrics: Metrics) -> None:
        self._socket = socket
        self._limits = limits
        self._metrics = metrics
        self._strikes = 0
        self._turn = asyncio.Lock()

    async def receive(self, patience: float) -> dict[str, Any]:
        """The next message that can be read; TimeoutError after `patience` seconds of silence."""
        while True:
            async with asyncio.timeout(patience):
                received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1005))
            data = received.get("bytes")
            try:
                if data is None:
                    raise ProtocolError("not_messagepack", "messages are binary MessagePack, not text")
                if len(data) > self._limits.message_bytes:
                    raise CloseConnection(1009, "a message is too large")
                return unpack(data)
            except ProtocolError as refusal:
                await self.refuse(refusal)

    async def refuse(self, refusal: ProtocolError) -> None:
        """Say that a message is not taken; Leave after too many."""
        self._metrics.refused.labels(refusal.code).inc()
        self._strikes += 1
        await self.tell(error_message(refusal))
        if self._strikes >= self._limits.strikes:
            raise CloseConnection(1008, "too many messages were refused")

    async def tell(self, message: dict[str, Any]) -> None:
        """Send one message."""
        await self.send((pack(message),))

    async def send(self, parts: Sequence[bytes]) -> None:
        """Send binary messages that belong together; nothing comes between them."""
        async with self._turn, asyncio.timeout(self._limits.send):
            for part in parts:
                try:
                    await self._socket.send_bytes(part)
                except RuntimeError as over:  # found dead when another message was sent
                    raise WebSocketDisconnect(1006) from over

    async def fail(self, refusal: ProtocolError) -> None:
        """Tell why the session ends, and end it."""
        try:
            await self.tell(error_message(refusal))
        except DISCONNECTED:
            return
        await self.close(1011, refusal.code)

    async def close(self, code: int, reason: str) -> None:
        """End the connection, if it has not ended yet."""
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            async with asyncio.timeout(5):
                await self._socket.close(code, reason[:100])
        except (*DISCONNECTED, RuntimeError):
            return
