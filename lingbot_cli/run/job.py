"""One film from its first chunk to its last: denoise, decode and write, each while the others work."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lingbot_cli.control import Control
from lingbot_cli.run.ahead import ahead
from lingbot_cli.sinks.base import Sink

if TYPE_CHECKING:
    from lingbot_cli.world.session import Session

Begin = Callable[[Path | None], "Session"]
"""Makes the world of a scene: from the film's first image (None) or from a cut's."""


@dataclass(frozen=True)
class Chunk:
    """A chunk on its way: `latents` [16, c, h, w] until it is decoded, `frames` [T, H, W, 3] uint8 after."""

    index: int
    control: Control
    session: "Session"
    latents: Any
    frames: np.ndarray | None = None


@dataclass(frozen=True)
class Made:
    """What a job made; `latents` is the SHA-256 of all latents as float32, in order."""

    chunks: int
    frames: int
    latents: str


def render(
    controls: Iterable[Control],
    begin: Begin,
    sink: Sink,
    *,
    stopped: Callable[[], bool],
    on_chunk: Callable[[Chunk], None],
) -> Made:
    """Render `controls` into an open sink until they end or `stopped` says so, between two chunks.

    The sink is left open: the caller closes or aborts it. What any stage raises is raised here.
    """
    chunks = frames = 0
    digest = hashlib.sha256()
    denoised = ahead(_denoise(controls, begin, stopped), "denoise")
    with closing(ahead(_decode(denoised), "decode", idle=sink.check)) as decoded:
        for chunk in decoded:
            assert chunk.frames is not None
            sink.write(chunk.frames)
            digest.update(np.ascontiguousarray(chunk.latents).data)
            chunks += 1
            frames += len(chunk.frames)
            on_chunk(chunk)
    return Made(chunks, frames, digest.hexdigest())


def _denoise(controls: Iterable[Control], begin: Begin, stopped: Callable[[], bool]) -> Iterator[Chunk]:
    session = None
    for index, control in enumerate(controls):
        if stopped():
            return
        if session is None or control.cut is not None:
            session = begin(control.cut)
        yield Chunk(index, control, session, session.denoise(control))


def _decode(denoised: Generator[Chunk, None, None]) -> Iterator[Chunk]:
    """Decode, bring to the host, and cut off what the film does not ask for."""
    with closing(denoised) as chunks:
        for chunk in chunks:
            frames = chunk.session.decode(chunk.latents).cpu().numpy()
            if len(frames) < chunk.control.frames:
                raise ValueError(f"chunk {chunk.index} has {len(frames)} frames, not {chunk.control.frames}")
            latents = chunk.latents.float().cpu().numpy()
            yield Chunk(chunk.index, chunk.control, chunk.session, latents, frames[: chunk.control.frames])
