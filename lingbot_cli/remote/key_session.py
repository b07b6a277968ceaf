"""Render a scene on a server that takes keys only: all of them at once, each prompt before its chunk."""

import contextlib
from collections.abc import Callable, Generator

import numpy as np

from lingbot_cli.remote.client import EngineAddress
from lingbot_cli.remote.engine_websocket import (
    DISCONNECTED,
    EngineWebSocket,
    connection_lost,
    engine_error,
    queue_position,
    raw_frames,
)
from lingbot_cli.remote.messages import RemoteScene, action_script, init_message, prompt_event


def render_with_keys(
    engine: EngineAddress, scene: RemoteScene, *, idle: Callable[[], None], warn: Callable[[str], None]
) -> Generator[np.ndarray, None, None]:
    """Yield the frames [T, H, W, 3] uint8 of every chunk. Errors: StreamLostError, UsageError."""
    socket = None
    try:
        socket = EngineWebSocket(engine, idle)
        yield from _render_chunks(socket, scene, warn)
    except DISCONNECTED as error:
        raise connection_lost(engine, error) from error
    finally:
        if socket is not None:
            socket.close()


def _render_chunks(
    socket: EngineWebSocket, scene: RemoteScene, warn: Callable[[str], None]
) -> Generator[np.ndarray, None, None]:
    controls = scene.controls
    message = init_message(scene, controls[0], exact=False)
    actions = {"camera_actions": action_script(controls)}
    socket.send({**message, "max_chunks": len(controls), "condition_inputs": actions})
    received = 0
    batches: list[np.ndarray] = []
    while received < len(controls):
        message = socket.receive()
        if message.get("type") == "error":
            raise engine_error(message)
        if message.get("type") == "queue":
            warn(queue_position(message))
        if message.get("type") != "frame_batch":
            continue
        batches.append(raw_frames(message, scene.height, scene.width))
        if not message.get("is_final_frame_batch", True):
            continue
        received += 1
        if received < len(controls) and controls[received].prompt != controls[received - 1].prompt:
            # A server that is ahead may have closed the connection; its frames can still be read.
            with contextlib.suppress(*DISCONNECTED):
                socket.send(prompt_event(received, controls[received].prompt))
        yield np.concatenate(batches)
        batches = []
