"""One connection to a remote engine, for one scene: what is sent, and the chunks that come back."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from lingbot_cli.errors import StreamLostError, UsageError
from lingbot_cli.remote.client import EngineAddress

CONNECT_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.5  # seconds between looks at what else happens
DISCONNECTED = (ConnectionClosed, OSError, InvalidHandshake, TimeoutError)


class EngineWebSocket:
    """Messages both ways; `idle` is called while nothing comes, and may raise."""

    def __init__(self, engine: EngineAddress, idle: Callable[[], None]) -> None:
        self._idle = idle
        self._open = ExitStack()
        self._socket: ClientConnection = self._open.enter_context(
            connect(
                engine.realtime,
                additional_headers=engine.headers,
                max_size=None,
                open_timeout=CONNECT_TIMEOUT_S,
                compression=None,
                proxy=None,
            )
        )

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        self._socket.send(msgpack.packb(message))

    def receive(self) -> dict[str, Any]:
        """The next message; a raw batch's frames are put in it as `payload`."""
        message = self._unpack(self._next())
        if message.get("type") == "frame_batch" and "payload" not in message:
            message["payload"] = self._next()
        return message

    def close(self) -> None:
        """End the connection."""
        self._open.close()

    def _next(self) -> bytes:
        while True:
            try:
                data = self._socket.recv(POLL_INTERVAL_S)
            except TimeoutError:
                self._idle()
                continue
            return data if isinstance(data, bytes) else data.encode()

    @staticmethod
    def _unpack(data: bytes) -> dict[str, Any]:
        try:
            message = msgpack.unpackb(data)
        except ValueError as strange:
            raise StreamLostError("the engine sent something that is not MessagePack") from strange
        if not isinstance(message, dict):
            raise StreamLostError("the engine sent something that is not a map")
        return message


def raw_frames(batch: dict[str, Any], height: int, width: int) -> np.ndarray:
    """A raw batch's frames [T, H, W, 3] uint8; StreamLostError when they are not what was asked for."""
    payload = batch.get("payload")
    shape = batch.get("height"), batch.get("width")
    if not isinstance(payload, bytes) or shape != (height, width) or len(payload) % (height * width * 3):
        raise StreamLostError(f"the engine's frames are not {width}x{height} raw pictures")
    return np.frombuffer(payload, np.uint8).reshape(-1, height, width, 3)


def engine_error(message: dict[str, Any]) -> UsageError:
    """What an engine's error says, for the user."""
    return UsageError(f"the engine refuses: {str(message.get('content'))[:300]}")
