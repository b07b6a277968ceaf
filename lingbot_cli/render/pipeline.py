"""Render pipeline: denoise, decode and write run at the same time, each on another chunk."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lingbot_cli.errors import SetupError
from lingbot_cli.prefetch import prefetch
from lingbot_cli.render.chunk_plan import ChunkTask
from lingbot_cli.sinks.base import Sink

if TYPE_CHECKING:
    from lingbot_cli.model.session import Session
    from lingbot_cli.model.transfer import AsyncCopy

StartSession = Callable[[Path | None], "Session"]
"""Starts the session of a scene, from the video's first image (None) or a cut's."""


class StopRequested(Exception):
    """A signal asked the run to end while it waited for a server."""


@dataclass(frozen=True)
class RenderedChunk:
    """A chunk in the pipeline: `latents` [16, c, h, w] and `frames` [T, H, W, 3] uint8, on the host at the end."""

    task: ChunkTask
    session: "Session"
    latents: Any
    frames: Any = None

    @property
    def index(self) -> int:
        """Index in the video, from 0."""
        return self.task.index


@dataclass(frozen=True)
class RenderResult:
    """Number of chunks and frames, and the SHA-256 of all latents as float32, in order."""

    chunks: int
    frames: int
    latents: str


def run_pipeline(
    tasks: Iterable[ChunkTask],
    start_session: StartSession,
    sink: Sink,
    *,
    stopped: Callable[[], bool],
    on_chunk: Callable[[RenderedChunk], None],
    save_chunk: Callable[[RenderedChunk], None] | None = None,
) -> RenderResult:
    """Render `tasks` into an open sink until they end, or until `stopped` is true between two chunks.

    `save_chunk` gets every chunk that was generated, `on_chunk` every one that was written. The caller closes or
    aborts the sink. Errors: those of any stage; StopRequested ends the video as `stopped` does.
    """
    chunks = frames = 0
    digest = hashlib.sha256()
    denoised = prefetch(denoise_chunks(tasks, start_session, stopped), "denoise")
    with suppress(StopRequested), closing(prefetch(_decode(denoised), "decode", idle=sink.check)) as decoded:
        for chunk in map(_to_host, decoded):
            digest.update(np.ascontiguousarray(chunk.latents).data)
            if save_chunk is not None and chunk.task.action == "generate":
                save_chunk(chunk)
            if chunk.frames is not None and len(chunk.frames):
                sink.write(chunk.frames)
                on_chunk(chunk)
            chunks += 1
            frames += chunk.task.shown
    return RenderResult(chunks, frames, digest.hexdigest())


def denoise_chunks(
    tasks: Iterable[ChunkTask], start_session: StartSession, stopped: Callable[[], bool]
) -> Iterator[RenderedChunk]:
    """Yield each chunk's latents, by the session of its scene, until `stopped` is true.

    At most one chunk is queued on the device behind the one it computes: the device never waits for the host,
    and a stopped run ends soon.
    """
    session, previous = None, None
    for task in tasks:
        if stopped():
            return
        if session is None or task.control.cut is not None:
            session = start_session(task.control.cut)
        latents = _latents(task, session)
        _wait(previous)
        previous = latents
        yield RenderedChunk(task, session, latents)


def _latents(task: ChunkTask, session: "Session") -> "np.ndarray | AsyncCopy":
    if task.latents is None:
        copies: list[np.ndarray | AsyncCopy] = []
        latents = session.denoise(task.control, lambda clean: copies.append(_start_download(clean)))
        return copies[0] if copies else _start_download(latents)
    saved = task.latents()
    if task.action == "replay":
        session.replay(task.control, saved)
    elif task.action == "skip":
        session.skip(task.control)
    from lingbot_cli.model.transfer import from_host

    return from_host(saved)


def _decode(denoised: Generator[RenderedChunk, None, None]) -> Iterator[RenderedChunk]:
    """Decode each chunk while the next is denoised.

    A session with a `close` is closed once its scene is decoded: a server may have one place only.
    """
    session = None
    with ExitStack() as scene, closing(denoised) as chunks:
        for chunk in chunks:
            if session is not chunk.session:
                scene.close()
                session = chunk.session
                scene.callback(getattr(session, "close", lambda: None))
            yield replace(chunk, frames=_frames(chunk)) if chunk.task.decode else chunk


def _frames(chunk: RenderedChunk) -> "np.ndarray | AsyncCopy":
    if not isinstance(chunk.latents, np.ndarray):
        from lingbot_cli.model.transfer import use_own_streams

        model = chunk.session.model
        use_own_streams(model.device, model.decode_device)
        return _start_download(chunk.session.decode(chunk.latents.on_device()))
    return _start_download(chunk.session.decode(chunk.latents))


def _start_download(values: Any) -> "np.ndarray | AsyncCopy":
    """Start copying a session's tensor to the host; a remote session's array is there already."""
    if isinstance(values, np.ndarray):
        return values
    from lingbot_cli.model.transfer import download

    return download(values)


def _to_host(chunk: RenderedChunk) -> RenderedChunk:
    """Wait until the chunk is on the host, and drop the frames that are not shown.

    Errors: SetupError for a generated chunk whose latents are not finite.
    """
    task = chunk.task
    latents, frames = _wait(chunk.latents), _wait(chunk.frames)
    if latents is not None and task.action == "generate":
        check_latents(latents, chunk.session, task.index)
    if frames is not None:
        if task.shown and len(frames) < task.control.frames:
            raise ValueError(f"chunk {task.index} has {len(frames)} frames, not {task.control.frames}")
        frames = frames[task.hidden : task.control.frames]
    return replace(chunk, latents=latents, frames=frames)


def _wait(values: "np.ndarray | AsyncCopy | None") -> np.ndarray | None:
    return values if values is None or isinstance(values, np.ndarray) else values.numpy()


def all_finite(values: np.ndarray) -> bool:
    """Return whether no value of a float32 array is NaN or infinite."""
    # One pass without a mask: a NaN or an infinity makes the sum of squares one, and finite latents do not overflow.
    flat = np.ascontiguousarray(values).reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.dot(flat, flat)
    return bool(np.isfinite(total) or np.isfinite(flat).all())


def check_latents(latents: np.ndarray, session: "Session", index: int) -> None:
    """Raise SetupError for a generated chunk whose latents are not finite; `index` counts from 0."""
    if all_finite(latents):
        return
    model = session.model
    precision = str(model.transformer.dtype).removeprefix("torch.")
    remedies = ["`lingbot models verify` finds damaged weights"]
    if precision == "float16":
        remedies.insert(0, "use --precision bfloat16, which does not overflow")
    raise SetupError(
        f"chunk {index + 1}: {model.preset.name} computed NaN or infinite latents in {precision}",
        hint=f"{'; '.join(remedies)}; leave out speed options and --kernel to exclude them",
    )
