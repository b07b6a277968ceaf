"""Chunk tasks of a render: generate a chunk, or replay, skip or omit one that an earlier run saved."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Literal

import numpy as np

from lingbot_cli.control import Control
from lingbot_cli.presets import Preset

Action = Literal["generate", "replay", "skip", "omit"]
"""generate: denoise. replay: write saved latents to the KV cache. skip: advance time and camera only.
omit: nothing, for no chunk to be generated attends to it."""


@dataclass(frozen=True)
class ChunkTask:
    """One chunk and its action.

    `latents` loads saved ones, [16, c, h, w] float32. `hidden`: its first frames that are not written, because
    an earlier run wrote them or `--frames` excludes them.
    """

    index: int
    control: Control
    action: Action = "generate"
    latents: Callable[[], np.ndarray] | None = None
    decode: bool = True
    hidden: int = 0

    @property
    def shown(self) -> int:
        """Number of its frames that are written."""
        return max(0, self.control.frames - self.hidden)


@dataclass(frozen=True)
class SavedChunks:
    """Result of earlier runs: latents of the first `chunks` chunks, and the first `frames` video frames.

    `fast` approximates: it replays only chunks still in the KV cache, each without those it attended to.
    """

    chunks: int
    latents: Callable[[int], np.ndarray]
    frames: int = 0
    fast: bool = False


_NO_LATENTS: dict[int, np.ndarray] = {}
NO_SAVED_CHUNKS = SavedChunks(0, _NO_LATENTS.__getitem__)


def new_tasks(controls: Iterable[Control]) -> Iterator[ChunkTask]:
    """Generate every chunk."""
    for index, control in enumerate(controls):
        yield ChunkTask(index, control)


def resume_tasks(
    controls: Sequence[Control], saved: SavedChunks, preset: Preset, receptive_field: int
) -> list[ChunkTask]:
    """Return the tasks of a whole video whose beginning is saved; the decoder sees `receptive_field` latents back.

    Scenes are independent: replaying starts at the scene of the first chunk to generate, decoding at the first
    latent in the receptive field of the first frame to write.
    """
    scenes = list(accumulate((i if c.cut is not None else 0 for i, c in enumerate(controls)), max))
    ends = list(accumulate(control.frames for control in controls))
    first = next((index for index, end in enumerate(ends) if end > saved.frames), len(controls))
    decode = (
        max(scenes[first], first - -(-receptive_field // preset.chunk)) if first < len(controls) else first
    )
    tasks: list[ChunkTask] = []
    for index, control in enumerate(controls):
        hidden = min(control.frames, max(0, saved.frames - (ends[index] - control.frames)))
        action: Action = "generate"
        if index < saved.chunks:
            action = "omit"
            if saved.chunks < len(controls) and scenes[index] == scenes[saved.chunks]:
                cached = _in_cache(index - scenes[index], saved.chunks - scenes[index], preset)
                action = "replay" if cached or not saved.fast else "skip"
        latents = partial(saved.latents, index) if action != "generate" else None
        tasks.append(ChunkTask(index, control, action, latents, decode=index >= decode, hidden=hidden))
    return tasks


def _in_cache(chunk: int, current: int, preset: Preset) -> bool:
    """Return whether the KV cache holds a scene's chunk when its chunk `current` begins."""
    if preset.window < 0 or chunk * preset.chunk < preset.sink:
        return True
    return (current - chunk - 1) * preset.chunk < preset.window - preset.sink
