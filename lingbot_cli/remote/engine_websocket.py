"""WebSocket of a remote engine for one scene: sends messages, receives raw frames."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from lingbot_cli.errors import LingbotError, StreamLostError, UsageError
from lingbot_cli.redact import redact
from lingbot_cli.remote.client import EngineAddress

CONNECT_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.5
DISCONNECTED = (ConnectionClosed, OSError, InvalidHandshake, TimeoutError)
"""Errors of a connection that is lost or cannot be opened."""


class EngineWebSocket:
    """`idle` is called while no message arrives, and may raise; `warn` gets the position in the engine's queue."""

    def __init__(
        self,
        engine: EngineAddress,
        idle: Callable[[], None],
        warn: Callable[[str], None] = lambda _: None,
        resume_key: str | None = None,
    ) -> None:
        self._idle = idle
        self._warn = warn
        self._cleanup = ExitStack()
        self._socket: ClientConnection = self._cleanup.enter_context(
            connect(
                engine.websocket_url(resume_key),
                additional_headers=engine.headers,
                max_size=None,
                open_timeout=CONNECT_TIMEOUT_S,
                compression=None,
                proxy=None,
            )
        )

    def send(self, message: dict[str, Any]) -> None:
        self._socket.send(msgpack.packb(message))

    def receive(self) -> dict[str, Any]:
        """Return the next message; frames that follow in a binary message become its `payload`."""
        message = self._unpack(self._receive_bytes())
        if message.get("type") == "frame_batch_header":
            message |= {"type": "frame_batch", "payload": self._receive_bytes()}
        return message

    def receive_chunk(
        self, height: int, width: int, on_session: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> np.ndarray:
        """Return the frames [T, H, W, 3] uint8 of the next chunk; `on_session` gets `session` messages before it.

        Errors: those of `engine_error`.
        """
        batches: list[np.ndarray] = []
        while True:
            message = self.receive()
            match message.get("type"):
                case "error":
                    raise engine_error(message)
                case "queue":
                    position = message.get("position")
                    reason = f"; {str(message['reason'])[:100]}" if "reason" in message else ""
                    self._warn(f"the engine is busy: position {position} in the queue{reason}")
                case "session":
                    on_session(message)
                case "frame_batch":
                    batches.append(raw_frames(message, height, width))
                    if message.get("is_final_frame_batch", True):
                        return np.concatenate(batches)

    def close(self) -> None:
        self._cleanup.close()

    def _receive_bytes(self) -> bytes:
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
        except ValueError as error:
            raise StreamLostError("the engine sent a message that is not MessagePack") from error
        if not isinstance(message, dict):
            raise StreamLostError("the engine sent a message that is not a map")
        return message


def raw_frames(batch: dict[str, Any], height: int, width: int) -> np.ndarray:
    """Return a raw batch's frames [T, H, W, 3] uint8; StreamLostError for another size or format."""
    payload = batch.get("payload")
    shape = batch.get("height"), batch.get("width")
    if not isinstance(payload, bytes) or shape != (height, width) or len(payload) % (height * width * 3):
        raise StreamLostError(f"the engine's frames are not raw frames of {width}x{height}")
    return np.frombuffer(payload, np.uint8).reshape(-1, height, width, 3)


def engine_error(message: dict[str, Any]) -> LingbotError:
    """Convert an engine's `error` message: UsageError where the user can mend it, else StreamLostError.

    `retry` of lingbot's own server distinguishes them; a published server names only an invalid request.
    """
    content = " ".join(str(message.get("content")).split())[:300]
    if message.get("retry") is True or content.startswith("invalid generate request"):
        return UsageError(f"the engine rejects the request: {content}")
    return StreamLostError(f"the engine fails: {content}", hint="wait until it is free, or look at its log")


def connection_lost(engine: EngineAddress, error: BaseException) -> StreamLostError:
    """Convert an error of `DISCONNECTED`."""
    return StreamLostError(f"lost the engine {engine.address}: {redact(str(error)) or 'no answer'}")
