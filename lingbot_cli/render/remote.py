"""Remote backend of a render: a server computes the frames, which go into the same sinks."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import groupby, islice

import numpy as np

from lingbot_cli.control import Control
from lingbot_cli.errors import StreamLostError
from lingbot_cli.remote.client import EngineAddress, RemoteTarget
from lingbot_cli.remote.key_session import check_script_length, render_with_keys
from lingbot_cli.remote.messages import RemoteScene
from lingbot_cli.remote.pose_session import PoseSession
from lingbot_cli.render.backend import Backend, OnTask, SaveChunk
from lingbot_cli.render.chunk_plan import ChunkTask, SavedChunks
from lingbot_cli.render.pipeline import RenderResult, StopRequested
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.sinks.base import Sink

CONTROLS_AHEAD = 2
"""Chunk inputs that a server has while it generates the first of them."""
_NO_LATENTS = np.zeros(0, np.float32)


class RemoteBackend(Backend):
    """Renders on a server; it chooses its own tuning, and its latents stay there."""

    def __init__(self, target: RemoteTarget, prepared: PreparedVideo, warn: Callable[[str], None]) -> None:
        self._target = target
        self._prepared = prepared
        self._warn = warn

    def preflight(self) -> None:
        """Refuse scenes that a server without exact poses cannot hold. Errors: UsageError."""
        if not self._target.exact:
            for scene in split_scenes(self._prepared):
                check_script_length(scene)

    def run(
        self,
        saved: SavedChunks,  # noqa: ARG002 - none, for `--resume` and `--engine` exclude each other
        sink: Sink,
        stopped: Callable[[], bool],
        on_task: OnTask,
        save_chunk: SaveChunk | None,  # noqa: ARG002
    ) -> RenderResult:
        """Render until the video is complete or `stopped`.

        Errors: StreamLostError for a connection that is lost for good, UsageError when the server refuses.
        """
        chunks = frames = 0

        def idle() -> None:
            sink.check()
            if stopped():
                raise StopRequested

        stream = stream_exact_poses if self._target.exact else render_with_keys
        try:
            for scene in split_scenes(self._prepared):
                with closing(stream(self._target.engine, scene, idle=idle, warn=self._warn)) as received:
                    for control, chunk in zip(scene.controls, received, strict=True):
                        if len(chunk) < control.frames:
                            raise StreamLostError(f"the engine sent {len(chunk)} frames of {control.frames}")
                        sink.write(chunk[: control.frames])
                        on_task(ChunkTask(chunks, control))
                        chunks += 1
                        frames += control.frames
                        idle()
        except StopRequested:
            pass
        return RenderResult(chunks, frames, "")


def split_scenes(prepared: PreparedVideo) -> Iterator[RemoteScene]:
    """Yield the video's scenes in order, each with its first image."""
    number = 0

    def scene_number(control: Control) -> int:
        nonlocal number
        number += control.cut is not None
        return number

    plan = prepared.plan
    for _, group in groupby(prepared.controls, scene_number):
        controls = list(group)
        image = prepared.images[controls[0].cut]
        yield RemoteScene(image, plan.height, plan.width, plan.fps, plan.seed, plan.scale, controls)


def stream_exact_poses(
    engine: EngineAddress, scene: RemoteScene, *, idle: Callable[[], None], warn: Callable[[str], None]
) -> Generator[np.ndarray, None, None]:
    """Yield the frames [T, H, W, 3] uint8 of every chunk; inputs are sent ahead, so that the server never waits."""
    session = PoseSession(engine, scene, idle=idle, warn=warn)
    inputs = iter(scene.controls)
    try:
        for control in islice(inputs, CONTROLS_AHEAD):
            session.denoise(control)
        for _ in scene.controls:
            yield session.decode(_NO_LATENTS)
            for control in islice(inputs, 1):
                session.denoise(control)
    finally:
        session.close()
