"""A scene on a server that takes letters only: all of them at once, prompts as their chunks come near."""

import contextlib
from collections.abc import Callable, Generator

import numpy as np

from lingbot_cli.errors import StreamLostError
from lingbot_cli.redact import redact
from lingbot_cli.remote.client import EngineAddress
from lingbot_cli.remote.engine_websocket import DISCONNECTED, EngineWebSocket, engine_error, raw_frames
from lingbot_cli.remote.messages import RemoteScene, action_script, init_message, prompt_event


def render_with_keys(
    engine: EngineAddress, scene: RemoteScene, *, idle: Callable[[], None], tell: Callable[[str], None]
) -> Generator[np.ndarray, None, None]:
    """The frames [T, H, W, 3] uint8 of every chunk; StreamLostError when the connection is lost."""
    wire = None
    try:
        wire = EngineWebSocket(engine, idle)
        yield from _render_chunks(wire, scene, tell)
    except DISCONNECTED as gone:
        said = redact(str(gone)) or "no answer"
        raise StreamLostError(f"the engine {engine.address} is lost: {said}") from gone
    finally:
        if wire is not None:
            wire.close()


def _render_chunks(
    wire: EngineWebSocket, scene: RemoteScene, tell: Callable[[str], None]
) -> Generator[np.ndarray, None, None]:
    controls = scene.controls
    message = init_message(scene, controls[0], exact=False)
    actions = {"camera_actions": action_script(controls)}
    wire.send({**message, "max_chunks": len(controls), "condition_inputs": actions})
    got = 0
    parts: list[np.ndarray] = []
    while got < len(controls):
        message = wire.receive()
        if message.get("type") == "error":
            raise engine_error(message)
        if message.get("type") == "queue":
            tell(f"the engine is busy: place {message.get('position')} in line")
        if message.get("type") != "frame_batch":
            continue
        parts.append(raw_frames(message, scene.height, scene.width))
        if not message.get("is_final_frame_batch", True):
            continue
        got += 1
        if got < len(controls) and controls[got].prompt != controls[got - 1].prompt:
            # A server that is ahead may have closed already; what it sent is still to be read.
            with contextlib.suppress(*DISCONNECTED):
                wire.send(prompt_event(got, controls[got].prompt))
        yield np.concatenate(parts)
        parts = []
