"""What is done with each chunk of a film: made, or where an earlier run has made it, taken up again."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Literal

import numpy as np

from lingbot_cli.control import Control
from lingbot_cli.presets import Preset


@dataclass(frozen=True)
class ChunkTask:
    """One chunk and its work.

    `how`: make it; recall it into memory; skip it, so that only time and camera move on; or leave it, when
    nothing still to be made remembers it. `latents` [16, c, h, w] float32 of a chunk made before.
    `hide`: how many of its frames an earlier run has written, or whoever asked does not want to see.
    """

    index: int
    control: Control
    how: Literal["make", "recall", "skip", "leave"] = "make"
    latents: Callable[[], np.ndarray] | None = None
    decode: bool = True
    hide: int = 0

    @property
    def shown(self) -> int:
        """How many of its frames are written."""
        return max(0, self.control.frames - self.hide)


@dataclass(frozen=True)
class SavedChunks:
    """What earlier runs left of a film: the latents of its first `chunks` and its first `written` frames.

    `fast` rebuilds only what memory still holds, each chunk without what it saw itself: an approximation.
    """

    chunks: int
    latents: Callable[[int], np.ndarray]
    written: int = 0
    fast: bool = False


_NO_LATENTS: dict[int, np.ndarray] = {}
NO_SAVED_CHUNKS = SavedChunks(0, _NO_LATENTS.__getitem__)


def plan_new_chunks(controls: Iterable[Control]) -> Iterator[ChunkTask]:
    """Every chunk is made."""
    for index, control in enumerate(controls):
        yield ChunkTask(index, control)


def plan_chunks(
    controls: Sequence[Control], past: SavedChunks, preset: Preset, reach: int
) -> list[ChunkTask]:
    """A whole film whose beginning exists; `reach`: how many latents back the decoder can see.

    A scene owes nothing to the one before it: replaying begins with the scene of the first chunk to be made,
    decoding with what the decoder sees of the first frame to be written.
    """
    scenes = list(accumulate((i if c.cut is not None else 0 for i, c in enumerate(controls)), max))
    ends = list(accumulate(control.frames for control in controls))
    first = next((index for index, end in enumerate(ends) if end > past.written), len(controls))
    decode = max(scenes[first], first - -(-reach // preset.chunk)) if first < len(controls) else first
    made: list[ChunkTask] = []
    for index, control in enumerate(controls):
        hide = min(control.frames, max(0, past.written - (ends[index] - control.frames)))
        how: Literal["make", "recall", "skip", "leave"] = "make"
        if index < past.chunks:
            how = "leave"
            if past.chunks < len(controls) and scenes[index] == scenes[past.chunks]:
                held = _in_cache(index - scenes[index], past.chunks - scenes[index], preset)
                how = "recall" if held or not past.fast else "skip"
        latents = partial(past.latents, index) if how != "make" else None
        made.append(ChunkTask(index, control, how, latents, decode=index >= decode, hide=hide))
    return made


def _in_cache(chunk: int, now: int, preset: Preset) -> bool:
    """Whether memory still holds a chunk of a scene when the scene's chunk `now` begins."""
    if preset.window < 0 or chunk * preset.chunk < preset.sink:
        return True
    return (now - chunk - 1) * preset.chunk < preset.window - preset.sink
