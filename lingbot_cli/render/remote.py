"""A film made by a remote engine, its frames into the same sinks."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import groupby, islice

import numpy as np

from lingbot_cli.control import Control
from lingbot_cli.errors import StreamLostError
from lingbot_cli.remote.client import Engine, RemoteTarget
from lingbot_cli.remote.key_session import published
from lingbot_cli.remote.messages import Scene
from lingbot_cli.remote.pose_session import RemoteSession
from lingbot_cli.render.chunk_plan import Step
from lingbot_cli.render.pipeline import Made, Stopped
from lingbot_cli.render.request import Prepared
from lingbot_cli.sinks.base import Sink

_AHEAD = 2  # controls the server knows while it makes the first of them
_NONE = np.zeros(0, np.float32)  # a remote session keeps its latents to itself


def render_remote(
    remote: RemoteTarget,
    prepared: Prepared,
    sink: Sink,
    stopped: Callable[[], bool],
    on_step: Callable[[Step], None],
    tell: Callable[[str], None],
) -> Made:
    """Render into an open sink until the film is whole or `stopped`; `tell` hears what is worth knowing.

    Errors: StreamLostError when the engine is lost for good, UsageError when it refuses.
    """
    chunks = frames = 0

    def idle() -> None:
        sink.check()
        if stopped():
            raise Stopped

    play = exactly if remote.exact else published
    try:
        for scene in scenes(prepared):
            with closing(play(remote.engine, scene, idle=idle, tell=tell)) as made:
                for control, whole in zip(scene.controls, made, strict=True):
                    if len(whole) < control.frames:
                        raise StreamLostError(f"the engine sent {len(whole)} frames of {control.frames}")
                    sink.write(whole[: control.frames])
                    on_step(Step(chunks, control))
                    chunks += 1
                    frames += control.frames
                    idle()
    except Stopped:
        pass
    return Made(chunks, frames, "")


def scenes(prepared: Prepared) -> Iterator[Scene]:
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
        yield Scene(
            picture, planned.height, planned.width, planned.fps, planned.seed, planned.scale, controls
        )


def exactly(
    engine: Engine, scene: Scene, *, idle: Callable[[], None], tell: Callable[[str], None]
) -> Generator[np.ndarray, None, None]:
    """The frames [T, H, W, 3] uint8 of every chunk, told a few ahead so that the server never waits."""
    session = RemoteSession(engine, scene, idle=idle, tell=tell)
    ahead = iter(scene.controls)
    try:
        for control in islice(ahead, _AHEAD):
            session.denoise(control)
        for _ in scene.controls:
            yield session.decode(_NONE)
            for control in islice(ahead, 1):
                session.denoise(control)
    finally:
        session.close()
