"""A world that lives on a server which takes exact poses, told and shown like one that lives here."""

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from lingbot_cli.control import Control
from lingbot_cli.errors import StreamLostError
from lingbot_cli.redact import redact
from lingbot_cli.remote.client import EngineAddress
from lingbot_cli.remote.engine_websocket import DISCONNECTED, EngineWebSocket, engine_error, raw_frames
from lingbot_cli.remote.messages import RemoteScene, control_event, init_message

RECONNECT_ATTEMPTS, RECONNECT_DELAY_S = 5, 0.5  # attempts to come back, and seconds before the first
POLL_INTERVAL_S = 0.2  # seconds of a pause between looks at what else happens


class PoseSession:
    """One scene. `denoise` and `decode` may be called by two threads, each chunk by one after the other.

    A lost connection is mended: the server keeps the world, and what it has not heard or not delivered is said
    and sent again. `idle` is called while it is waited for, and may raise. Errors: StreamLostError when it is
    lost for good, UsageError when the server refuses.
    """

    def __init__(
        self,
        engine: EngineAddress,
        scene: RemoteScene,
        *,
        idle: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._scene = scene
        self._idle = idle
        self._tell = tell
        self._key: str | None = None
        self._told = 0
        self._got = 0
        self._said = 0  # what the server has heard, once it has said so
        self._open = False
        self._waiting: deque[Control] = deque()  # told, and their frames not here yet
        self._lock = threading.Lock()
        self._wire: EngineWebSocket | None = None

    def denoise(self, control: Control) -> np.ndarray:
        """Tell the next chunk; its latents stay on the server, so none are returned."""
        with self._lock:
            self._waiting.append(control)
            self._told += 1
            if self._open:
                self._say()
        return np.zeros(0, np.float32)

    def decode(self, _latents: np.ndarray) -> np.ndarray:
        """The frames [T, H, W, 3] uint8 of the oldest chunk that was told and not shown."""
        tries = 0
        while True:
            try:
                return self._frames()
            except DISCONNECTED as gone:
                self.close()
                tries += 1
                if self._key is None or tries > RECONNECT_ATTEMPTS:
                    said = redact(str(gone)) or "no answer"
                    raise StreamLostError(f"the engine {self._engine.address} is lost: {said}") from gone
                self._tell("the engine is lost; coming back to its world")
                self._rest(RECONNECT_DELAY_S * 2 ** (tries - 1))

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            wire, self._wire, self._open = self._wire, None, False
        if wire is not None:
            wire.close()

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._idle()
            time.sleep(min(left, POLL_INTERVAL_S))

    def _frames(self) -> np.ndarray:
        wire = self._wire or self._connect()
        parts: list[np.ndarray] = []
        while True:
            message = wire.receive()
            kind = message.get("type")
            if kind == "error":
                raise engine_error(message)
            if kind == "queue":
                self._tell(f"the engine is busy: place {message.get('position')} in line")
            elif kind == "session" and not self._open:
                self._key = str(message["resume"])
                with self._lock:
                    self._said, self._open = int(message["controls"]), True
                    self._say()
            elif kind == "frame_batch":
                parts.append(raw_frames(message, self._scene.height, self._scene.width))
                if message.get("is_final_frame_batch", True):
                    with self._lock:
                        self._waiting.popleft()
                        self._got += 1
                    return np.concatenate(parts)

    def _connect(self) -> EngineWebSocket:
        self._idle()
        wire = self._wire = EngineWebSocket(self._engine, self._idle)
        message = init_message(self._scene, self._waiting[0], exact=True)
        if self._key is not None:
            message |= {"resume": self._key, "have": self._got}
        wire.send(message)
        return wire

    def _say(self) -> None:
        """Say every control the server has not heard; a connection that fails is found out by its reader."""
        try:
            while self._wire is not None and self._said < self._told:
                control = self._waiting[self._said - self._got]
                self._wire.send(control_event(self._said, control))
                self._said += 1
        except DISCONNECTED:
            self._open = False
