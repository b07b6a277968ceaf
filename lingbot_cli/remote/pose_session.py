"""Session on a server that takes exact poses, with the interface of a local session; reconnects."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from lingbot_cli.control import Control
from lingbot_cli.errors import StreamLostError
from lingbot_cli.remote.client import EngineAddress
from lingbot_cli.remote.engine_websocket import DISCONNECTED, EngineWebSocket, connection_lost
from lingbot_cli.remote.messages import RemoteScene, control_event, init_message

RECONNECT_ATTEMPTS = 5
RECONNECT_DELAY_S = 0.5  # before the first attempt, doubled for each further one
POLL_INTERVAL_S = 0.2


class PoseSession:
    """One scene. `denoise` and `decode` may be called by two threads, each chunk by one after the other.

    After a lost connection the session is resumed on the server: controls it has not received and frames that
    did not arrive are sent again. `idle` is called while waiting, and may raise. Errors: StreamLostError when
    reconnecting fails, UsageError when the server refuses.
    """

    def __init__(
        self,
        engine: EngineAddress,
        scene: RemoteScene,
        *,
        idle: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._scene = scene
        self._idle = idle
        self._warn = warn
        self._resume_key: str | None = None
        self._pushed = 0
        self._received = 0
        self._sent = 0  # controls that the server has, once it has reported their number
        self._started = False
        self._pending: deque[Control] = deque()  # pushed, frames not received
        self._lock = threading.Lock()
        self._socket: EngineWebSocket | None = None

    def denoise(self, control: Control, on_clean: object = None) -> np.ndarray:  # noqa: ARG002 - as a local session
        """Push the next chunk's control; the latents stay on the server, so an empty array is returned."""
        with self._lock:
            self._pending.append(control)
            self._pushed += 1
            if self._started:
                self._send_controls()
        return np.zeros(0, np.float32)

    def decode(self, _latents: np.ndarray) -> np.ndarray:
        """Return the frames [T, H, W, 3] uint8 of the oldest chunk not yet received."""
        attempts = 0
        while True:
            try:
                return self._receive_chunk()
            except DISCONNECTED as error:
                self.close()
                attempts += 1
                if self._resume_key is None or attempts > RECONNECT_ATTEMPTS:
                    raise connection_lost(self._engine, error) from error
                self._warn("lost the engine; reconnecting to its session")
                self._pause(RECONNECT_DELAY_S * 2 ** (attempts - 1))

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            socket, self._socket, self._started = self._socket, None, False
        if socket is not None:
            socket.close()

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._idle()
            time.sleep(min(left, POLL_INTERVAL_S))

    def _receive_chunk(self) -> np.ndarray:
        socket = self._socket or self._connect()
        frames = socket.receive_chunk(self._scene.height, self._scene.width, self._start)
        with self._lock:
            if not self._pending:
                raise StreamLostError("the engine sent a chunk that was not asked for")
            self._pending.popleft()
            self._received += 1
        return frames

    def _start(self, message: dict[str, Any]) -> None:
        """Take over a `session` message, and send the controls that the server does not have."""
        if self._started:
            return
        key, controls = message.get("resume"), message.get("controls")
        with self._lock:
            if not isinstance(key, str) or type(controls) is not int:
                raise StreamLostError("the engine's session message has no resume key or number of controls")
            if not self._received <= controls <= self._pushed:
                raise StreamLostError(f"the engine has {controls} controls of {self._pushed}")
            self._resume_key, self._sent, self._started = key, controls, True
            self._send_controls()

    def _connect(self) -> EngineWebSocket:
        self._idle()
        socket = self._socket = EngineWebSocket(self._engine, self._idle, self._warn, self._resume_key)
        message = init_message(self._scene, self._pending[0], exact=True)
        if self._resume_key is not None:
            message |= {"resume": self._resume_key, "have": self._received}
        socket.send(message)
        return socket

    def _send_controls(self) -> None:
        """Send every control that the server does not have; a lost connection is left to `decode`."""
        try:
            while self._socket is not None and self._sent < self._pushed:
                control = self._pending[self._sent - self._received]
                self._socket.send(control_event(self._sent, control))
                self._sent += 1
        except DISCONNECTED:
            self._started = False
