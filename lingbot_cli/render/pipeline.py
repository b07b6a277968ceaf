"""One film from its first chunk to its last: denoise, decode and write, each while the others work."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lingbot_cli.render.chunk_plan import ChunkTask
from lingbot_cli.render.prefetch import prefetch
from lingbot_cli.sinks.base import Sink

if TYPE_CHECKING:
    from lingbot_cli.model.session import Session
    from lingbot_cli.model.transfer import AsyncCopy

StartSession = Callable[[Path | None], "Session"]
"""Makes the world of a scene: from the film's first image (None) or from a cut's."""


class StopRequested(Exception):
    """The run was asked to end while a remote world was waited for."""


@dataclass(frozen=True)
class RenderedChunk:
    """A chunk on its way: `latents` [16, c, h, w] and `frames` [T, H, W, 3] uint8 to show, arrays once landed."""

    step: ChunkTask
    session: "Session"
    latents: Any
    frames: Any = None

    @property
    def index(self) -> int:
        """Which chunk of the film it is, from 0."""
        return self.step.index


@dataclass(frozen=True)
class RenderResult:
    """What a job made and showed; `latents` is the SHA-256 of all latents as float32, in order."""

    chunks: int
    frames: int
    latents: str


def run_pipeline(
    steps: Iterable[ChunkTask],
    begin: StartSession,
    sink: Sink,
    *,
    stopped: Callable[[], bool],
    on_chunk: Callable[[RenderedChunk], None],
    keep: Callable[[RenderedChunk], None] | None = None,
) -> RenderResult:
    """Render `steps` into an open sink until they end or `stopped` says so, between two chunks.

    `keep` gets every chunk that was made, `on_chunk` every one that was shown. The sink is left open: the
    caller closes or aborts it. What any stage raises is raised here, but Stopped ends the film as `stopped` does.
    """
    chunks = frames = 0
    digest = hashlib.sha256()
    made = prefetch(denoise_chunks(steps, begin, stopped), "denoise")
    with suppress(StopRequested), closing(prefetch(_decode(made), "decode", idle=sink.check)) as decoded:
        for chunk in map(_finish_download, decoded):
            digest.update(np.ascontiguousarray(chunk.latents).data)
            if keep is not None and chunk.step.how == "make":
                keep(chunk)
            if chunk.frames is not None and len(chunk.frames):
                sink.write(chunk.frames)
                on_chunk(chunk)
            chunks += 1
            frames += chunk.step.shown
    return RenderResult(chunks, frames, digest.hexdigest())


def denoise_chunks(
    steps: Iterable[ChunkTask], begin: StartSession, stopped: Callable[[], bool]
) -> Iterator[RenderedChunk]:
    """Each chunk's latents, by the session of its scene, until `stopped` says so.

    A device is asked for one chunk beyond the one it computes and no more, so that it never waits for the host
    and a film that is stopped soon ends.
    """
    session, before = None, None
    for step in steps:
        if stopped():
            return
        if session is None or step.control.cut is not None:
            session = begin(step.control.cut)
        latents = _latents(step, session)
        _on_host(before)
        before = latents
        yield RenderedChunk(step, session, latents)


def _latents(step: ChunkTask, session: "Session") -> "np.ndarray | AsyncCopy":
    if step.latents is None:
        return _start_download(session.denoise(step.control))
    latents = step.latents()
    if step.how == "recall":
        session.replay(step.control, latents)
    elif step.how == "skip":
        session.skip(step.control)
    import torch

    return _start_download(torch.as_tensor(latents))


def _decode(made: Generator[RenderedChunk, None, None]) -> Iterator[RenderedChunk]:
    """Decode beside what makes the next latents, and ask for the frames on the host.

    A session that can be closed is, once its scene is decoded: a server may have one place only.
    """
    session = None
    with ExitStack() as scene, closing(made) as chunks:
        for chunk in chunks:
            if session is not chunk.session:
                scene.close()
                session = chunk.session
                scene.callback(getattr(session, "close", lambda: None))
            yield replace(chunk, frames=_frames(chunk)) if chunk.step.decode else chunk


def _frames(chunk: RenderedChunk) -> "np.ndarray | AsyncCopy":
    if not isinstance(chunk.latents, np.ndarray):
        from lingbot_cli.model.transfer import use_own_streams

        world = chunk.session.model
        use_own_streams(world.device, world.decode_device)
        return _start_download(chunk.session.decode(chunk.latents.on_device()))
    return _start_download(chunk.session.decode(chunk.latents))


def _start_download(values: Any) -> "np.ndarray | AsyncCopy":
    """What a session made, on its way to the host; a remote session's is there already."""
    if isinstance(values, np.ndarray):
        return values
    from lingbot_cli.model.transfer import download

    return download(values)


def _finish_download(chunk: RenderedChunk) -> RenderedChunk:
    """Wait until the chunk is on the host, and cut off what is not to be shown."""
    step = chunk.step
    latents, frames = _on_host(chunk.latents), _on_host(chunk.frames)
    if frames is not None:
        if step.shown and len(frames) < step.control.frames:
            raise ValueError(f"chunk {step.index} has {len(frames)} frames, not {step.control.frames}")
        frames = frames[step.hide : step.control.frames]
    return replace(chunk, latents=latents, frames=frames)


def _on_host(values: "np.ndarray | AsyncCopy | None") -> np.ndarray | None:
    """Wait for what is on its way."""
    return values if values is None or isinstance(values, np.ndarray) else values.numpy()
