"""Render a scene on a server that takes keys only: all of them at once, each prompt before its chunk."""

import queue
import threading
from collections.abc import Callable, Generator

import numpy as np

from lingbot_cli.control import FRAMES_PER_LATENT
from lingbot_cli.errors import UsageError
from lingbot_cli.remote.client import EngineAddress
from lingbot_cli.remote.engine_websocket import (
    DISCONNECTED,
    EngineWebSocket,
    connection_lost,
)
from lingbot_cli.remote.messages import RemoteScene, action_script, init_message, prompt_event

QUEUE_LATENTS = 512
"""Latent frames of a script that a published server holds; it drops the first ones of a longer script."""
MAX_BUFFERED_CHUNKS = 2
POLL_INTERVAL_S = 0.2


def check_script_length(scene: RemoteScene) -> None:
    """Refuse a scene whose keys a published server would drop. Errors: UsageError with the length that fits."""
    latents = sum(len(control.poses) for control in scene.controls)
    if latents > QUEUE_LATENTS:
        chunk = len(scene.controls[0].poses)
        frames = FRAMES_PER_LATENT * (QUEUE_LATENTS // chunk * chunk) - FRAMES_PER_LATENT + 1
        raise UsageError(
            f"--engine: a scene of {latents} latent frames, and this server holds keys for {QUEUE_LATENTS}",
            hint=f"render at most {frames} frames ({frames / scene.fps:.0f} s) a scene, or use lingbot serve",
        )


def render_with_keys(
    engine: EngineAddress, scene: RemoteScene, *, idle: Callable[[], None], warn: Callable[[str], None]
) -> Generator[np.ndarray, None, None]:
    """Yield the frames [T, H, W, 3] uint8 of every chunk. Errors: StreamLostError, UsageError."""
    check_script_length(scene)
    receiver = _Receiver(engine, scene, warn)
    receiver.start()
    try:
        for _ in scene.controls:
            while (chunk := receiver.next_chunk()) is None:
                idle()
            yield chunk
    except DISCONNECTED as error:
        raise connection_lost(engine, error) from error
    finally:
        receiver.stop()


class _Receiver(threading.Thread):
    """Receives chunks as they come and sends each prompt in time, however slowly the chunks are taken.

    A published server takes the prompt of chunk k before it sends chunk k−1, and holds only the newest one: the
    prompt of chunk k is sent when chunk k−2 has come, that of chunk 1 at once.
    """

    def __init__(self, engine: EngineAddress, scene: RemoteScene, warn: Callable[[str], None]) -> None:
        super().__init__(name="engine receiver", daemon=True)
        self._engine, self._scene, self._warn = engine, scene, warn
        self._chunks: queue.Queue[np.ndarray | BaseException] = queue.Queue(MAX_BUFFERED_CHUNKS)
        self._stopped = threading.Event()

    def next_chunk(self) -> np.ndarray | None:
        """Return the next chunk; None after a short wait without one. Errors: those of the connection."""
        try:
            found = self._chunks.get(timeout=POLL_INTERVAL_S)
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        return found

    def stop(self) -> None:
        """Close the connection and end the thread."""
        self._stopped.set()
        self.join()

    def run(self) -> None:
        socket = None
        try:
            socket = EngineWebSocket(self._engine, self._check_stopped, self._warn)
            self._receive(socket)
        except _Stopped:
            return
        except BaseException as error:
            self._put(error)
        finally:
            if socket is not None:
                socket.close()

    def _receive(self, socket: EngineWebSocket) -> None:
        controls = self._scene.controls
        init = init_message(self._scene, controls[0], exact=False)
        actions = {"camera_actions": action_script(controls)}
        socket.send({**init, "max_chunks": len(controls), "condition_inputs": actions})
        self._send_prompt(socket, 1)
        for index in range(len(controls)):
            chunk = socket.receive_chunk(self._scene.height, self._scene.width)
            self._send_prompt(socket, index + 2)
            self._put(chunk)

    def _send_prompt(self, socket: EngineWebSocket, index: int) -> None:
        """Send the prompt of a chunk where it changes; warn where the server has finished already."""
        controls = self._scene.controls
        if index >= len(controls) or controls[index].prompt == controls[index - 1].prompt:
            return
        prompt = controls[index].prompt
        try:
            socket.send(prompt_event(index, prompt))
        except DISCONNECTED:
            self._warn(f"the prompt of chunk {index} came too late for the engine: {prompt[:60]}")

    def _put(self, item: np.ndarray | BaseException) -> None:
        while not self._stopped.is_set():
            try:
                self._chunks.put(item, timeout=POLL_INTERVAL_S)
                return
            except queue.Full:
                continue

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise _Stopped


class _Stopped(Exception):
    """The chunks are not needed any more."""
