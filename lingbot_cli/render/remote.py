"""A film made by a remote engine, its frames into the same sinks."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import groupby, islice

import numpy as np

from lingbot_cli.control import Control
from lingbot_cli.errors import StreamLostError
from lingbot_cli.remote.client import EngineAddress, RemoteTarget
from lingbot_cli.remote.key_session import render_with_keys
from lingbot_cli.remote.messages import RemoteScene
from lingbot_cli.remote.pose_session import PoseSession
from lingbot_cli.render.chunk_plan import ChunkTask
from lingbot_cli.render.pipeline import RenderResult, StopRequested
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.sinks.base import Sink

CONTROLS_AHEAD = 2  # controls the server knows while it makes the first of them
_NO_LATENTS = np.zeros(0, np.float32)  # a remote session keeps its latents to itself


def render_remote(
    remote: RemoteTarget,
    prepared: PreparedVideo,
    sink: Sink,
    stopped: Callable[[], bool],
    on_step: Callable[[ChunkTask], None],
    tell: Callable[[str], None],
) -> RenderResult:
    """Render into an open sink until the film is whole or `stopped`; `tell` hears what is worth knowing.

    Errors: StreamLostError when the engine is lost for good, UsageError when it refuses.
    """
    chunks = frames = 0

    def idle() -> None:
        sink.check()
        if stopped():
            raise StopRequested

    play = stream_exact_poses if remote.exact else render_with_keys
    try:
        for scene in split_scenes(prepared):
            with closing(play(remote.engine, scene, idle=idle, warn=tell)) as made:
                for control, whole in zip(scene.controls, made, strict=True):
                    if len(whole) < control.frames:
                        raise StreamLostError(f"the engine sent {len(whole)} frames of {control.frames}")
                    sink.write(whole[: control.frames])
                    on_step(ChunkTask(chunks, control))
                    chunks += 1
                    frames += control.frames
                    idle()
    except StopRequested:
        pass
    return RenderResult(chunks, frames, "")


def split_scenes(prepared: PreparedVideo) -> Iterator[RemoteScene]:
    """The film's scenes in order, each from its own picture."""
    number = 0

    def scene_of(control: Control) -> int:
        nonlocal number
        number += control.cut is not None
        return number

    planned = prepared.plan
    for _, group in groupby(prepared.controls, scene_of):
        controls = list(group)
        picture = prepared.images[controls[0].cut]
        yield RemoteScene(
            picture, planned.height, planned.width, planned.fps, planned.seed, planned.scale, controls
        )


def stream_exact_poses(
    engine: EngineAddress, scene: RemoteScene, *, idle: Callable[[], None], warn: Callable[[str], None]
) -> Generator[np.ndarray, None, None]:
    """The frames [T, H, W, 3] uint8 of every chunk, told a few ahead so that the server never waits."""
    session = PoseSession(engine, scene, idle=idle, warn=warn)
    ahead = iter(scene.controls)
    try:
        for control in islice(ahead, CONTROLS_AHEAD):
            session.denoise(control)
        for _ in scene.controls:
            yield session.decode(_NO_LATENTS)
            for control in islice(ahead, 1):
                session.denoise(control)
    finally:
        session.close()
