"""Render a scene on a server that takes keys only: all of them at once, each prompt before its chunk."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

import numpy as np

from lingbot_cli.control import FRAMES_PER_LATENT, Control
from lingbot_cli.errors import UsageError
from lingbot_cli.prefetch import prefetch
from lingbot_cli.remote.client import EngineAddress
from lingbot_cli.remote.engine_websocket import DISCONNECTED, EngineWebSocket, connection_lost
from lingbot_cli.remote.messages import RemoteScene, action_script, init_message, prompt_event

QUEUE_LATENTS = 512
"""Latent frames of a script that a published server holds; it drops the first ones of a longer script."""
MAX_BUFFERED_CHUNKS = 2


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
    stopped = threading.Event()

    def check_stopped() -> None:
        if stopped.is_set():
            raise _Stopped

    chunks = _receive(engine, scene, check_stopped, warn)
    try:
        yield from prefetch(chunks, "engine receiver", idle=idle, ahead=MAX_BUFFERED_CHUNKS)
    except DISCONNECTED as error:
        raise connection_lost(engine, error) from error
    finally:
        stopped.set()


def _receive(
    engine: EngineAddress, scene: RemoteScene, idle: Callable[[], None], warn: Callable[[str], None]
) -> Iterator[np.ndarray]:
    """Yield chunks as they come and send each prompt in time, however slowly the chunks are taken.

    A published server takes the prompt of chunk k before it sends chunk k−1, and holds only the newest one: the
    prompt of chunk k is sent when chunk k−2 has come, that of chunk 1 at once.
    """
    controls = scene.controls
    init = init_message(scene, controls[0], exact=False)
    actions = {"camera_actions": action_script(controls)}
    with closing(EngineWebSocket(engine, idle, warn)) as socket:
        socket.send({**init, "max_chunks": len(controls), "condition_inputs": actions})
        _send_prompt(socket, controls, 1, warn)
        for index in range(len(controls)):
            chunk = socket.receive_chunk(scene.height, scene.width)
            _send_prompt(socket, controls, index + 2, warn)
            yield chunk


def _send_prompt(
    socket: EngineWebSocket, controls: Sequence[Control], index: int, warn: Callable[[str], None]
) -> None:
    """Send the prompt of a chunk where it changes; warn where the server has finished already."""
    if index >= len(controls) or controls[index].prompt == controls[index - 1].prompt:
        return
    prompt = controls[index].prompt
    try:
        socket.send(prompt_event(index, prompt))
    except DISCONNECTED:
        warn(f"the prompt of chunk {index} came too late for the engine: {prompt[:60]}")


class _Stopped(Exception):
    """The chunks are not needed any more."""
