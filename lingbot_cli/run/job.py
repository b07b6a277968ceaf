"""One film from its first chunk to its last: denoise, decode and write, each while the others work."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lingbot_cli.run.ahead import ahead
from lingbot_cli.run.steps import Step
from lingbot_cli.sinks.base import Sink

if TYPE_CHECKING:
    from lingbot_cli.world.session import Session

Begin = Callable[[Path | None], "Session"]
"""Makes the world of a scene: from the film's first image (None) or from a cut's."""


@dataclass(frozen=True)
class Chunk:
    """A chunk on its way: `latents` [16, c, h, w], on the host once decoded; `frames` [T, H, W, 3] uint8 to show."""

    step: Step
    session: "Session"
    latents: Any
    frames: np.ndarray | None = None

    @property
    def index(self) -> int:
        """Which chunk of the film it is, from 0."""
        return self.step.index


@dataclass(frozen=True)
class Made:
    """What a job made and showed; `latents` is the SHA-256 of all latents as float32, in order."""

    chunks: int
    frames: int
    latents: str


def render(
    steps: Iterable[Step],
    begin: Begin,
    sink: Sink,
    *,
    stopped: Callable[[], bool],
    on_chunk: Callable[[Chunk], None],
    keep: Callable[[Chunk], None] | None = None,
) -> Made:
    """Render `steps` into an open sink until they end or `stopped` says so, between two chunks.

    `keep` gets every chunk that was made, `on_chunk` every one that was shown. The sink is left open: the
    caller closes or aborts it. What any stage raises is raised here.
    """
    chunks = frames = 0
    digest = hashlib.sha256()
    made = ahead(denoised(steps, begin, stopped), "denoise")
    with closing(ahead(_decode(made), "decode", idle=sink.check)) as decoded:
        for chunk in decoded:
            digest.update(np.ascontiguousarray(chunk.latents).data)
            if keep is not None and chunk.step.how == "make":
                keep(chunk)
            if chunk.frames is not None and len(chunk.frames):
                sink.write(chunk.frames)
                on_chunk(chunk)
            chunks += 1
            frames += chunk.step.shown
    return Made(chunks, frames, digest.hexdigest())


def denoised(steps: Iterable[Step], begin: Begin, stopped: Callable[[], bool]) -> Iterator[Chunk]:
    """Each chunk's latents, by the session of its scene, until `stopped` says so."""
    session = None
    for step in steps:
        if stopped():
            return
        if session is None or step.control.cut is not None:
            session = begin(step.control.cut)
        yield Chunk(step, session, _latents(step, session))


def _latents(step: Step, session: "Session") -> Any:
    if step.latents is None:
        return session.denoise(step.control)
    latents = step.latents()
    if step.how == "recall":
        session.recall(step.control, latents)
    elif step.how == "skip":
        session.skip(step.control)
    return latents


def _decode(made: Generator[Chunk, None, None]) -> Iterator[Chunk]:
    """Decode, bring to the host, and cut off what is not to be shown."""
    with closing(made) as chunks:
        for chunk in chunks:
            step, latents, frames = chunk.step, chunk.latents, None
            if step.decode:
                frames = _on_host(chunk.session.decode(latents))
                if step.shown and len(frames) < step.control.frames:
                    raise ValueError(
                        f"chunk {step.index} has {len(frames)} frames, not {step.control.frames}"
                    )
                frames = frames[step.hide : step.control.frames]
            if step.latents is None:
                latents = _on_host(latents)
            yield Chunk(step, chunk.session, latents, frames)


def _on_host(values: Any) -> np.ndarray:
    """What a session made, as an array of whole or float32 numbers; a remote session's are arrays already."""
    if isinstance(values, np.ndarray):
        return values
    return (values.float() if values.is_floating_point() else values).cpu().numpy()
