"""Ring KV cache with attention sink and sliding window (model §5)."""

from collections import deque
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lingbot_cli.model.attention import AttentionFunction, attend_all


@dataclass(frozen=True)
class KVCacheShape:
    """Sizes of a cache: layers, tokens of one latent frame, heads, channels of a head.

    `window` and `sink` count latent frames, the window including the sink; a window of −1 keeps everything.
    `max_attention_tokens` limits attention to the newest cached tokens, the own chunk included.
    """

    layers: int
    tokens: int
    heads: int
    head_dim: int
    window: int
    sink: int
    max_attention_tokens: int | None = None


Planes = tuple[Tensor, ...]
"""Tensors that store one layer's keys or values, each with a row per token in dimension 1."""


class KVCache:
    """K and V per layer, [1, slots·tokens, heads, d]: the sink's slots, then a ring of the newest frames.

    Positions are baked into the keys, so the order of slots does not matter and eviction moves nothing.
    All cursors are Python integers: no step waits for a value of the device.
    """

    def __init__(
        self,
        shape: KVCacheShape,
        device: torch.device,
        dtype: torch.dtype,
        attend: AttentionFunction = attend_all,
    ) -> None:
        """`attend` computes the attention of rotated queries to all visible keys and values."""
        self.shape = shape
        self._device, self._dtype = device, dtype
        self._attend_to = attend
        self.slot_frames: dict[int, int] = {}  # slot → absolute latent frame
        self._chunk_rows: list[slice] = []
        self._visible_rows: list[slice] = []
        self._unmoved: deque[int] = deque()  # buffers that a change of the window has not reached
        self._moves: list[tuple[slice, slice]] = []
        slots = max(shape.window, 0)
        self._buffers = [self._new_planes(slots * shape.tokens) for _ in range(2 * shape.layers)]

    def clear(self) -> None:
        """Forget all frames; the buffers stay."""
        self.slot_frames.clear()

    def begin(self, start: int, frames: int) -> None:
        """Reserve slots for the chunk of latent frames [start, start+frames), evicting the oldest after the sink."""
        slots = [self._slot_of(frame) for frame in range(start, start + frames)]
        self.slot_frames.update(zip(slots, range(start, start + frames), strict=True))
        self._grow(max(self.slot_frames) + 1)
        self._chunk_rows = self._rows(slots)
        self._visible_rows = self._find_visible_rows()

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Write this chunk's rotated k and v [1, N, heads, d], then attend from q to all visible ones."""
        self.write(layer, k, v)
        keys, values = (self._read(self._buffers[2 * layer + i][0]) for i in range(2))
        return self._attend_to(q, keys, values)

    def write(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Write this chunk's rotated k and v; a later pass over the same chunk overwrites them."""
        for planes, new in ((self._buffers[2 * layer], k), (self._buffers[2 * layer + 1], v)):
            for plane, stored in zip(planes, self._encode(new), strict=True):
                done = 0
                for rows in self._chunk_rows:
                    count = rows.stop - rows.start
                    plane[:, rows] = stored[:, done : done + count]
                    done += count

    def resize(self, window: int) -> None:
        """Change the window, keeping the sink and the newest frames; a call that failed continues where it ended."""
        self._move_rows()
        if window == self.shape.window:
            return
        sources = {frame: slot for slot, frame in self.slot_frames.items()}
        self.shape = replace(self.shape, window=window)
        frames = sorted(sources)
        if window >= 0:
            sink = [frame for frame in frames if frame < self.shape.sink]
            frames = sink + frames[len(sink) :][self.shape.sink - window :]
        self.slot_frames = {self._slot_of(frame): frame for frame in frames}
        self._moves = [
            (self._rows([sources[frame]])[0], self._rows([slot])[0])
            for slot, frame in self.slot_frames.items()
        ]
        self._unmoved.extend(range(len(self._buffers)))
        self._move_rows()

    def _move_rows(self) -> None:
        """Move the rows of one buffer after the other, so that two caches never coexist."""
        slots = max(self.shape.window, 1 + max(self.slot_frames, default=-1))
        while self._unmoved:
            index = self._unmoved[0]
            moved = self._new_planes(slots * self.shape.tokens)
            for new, old in zip(moved, self._buffers[index], strict=True):
                for source, target in self._moves:
                    new[:, target] = old[:, source]
            self._buffers[index] = moved
            self._unmoved.popleft()

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        return sum(plane.nbytes for planes in self._buffers for plane in planes)

    def _slot_of(self, frame: int) -> int:
        window, sink = self.shape.window, self.shape.sink
        if window < 0 or frame < sink:
            return frame
        return sink + (frame - sink) % (window - sink)

    def _find_visible_rows(self) -> list[slice]:
        limit, tokens = self.shape.max_attention_tokens, self.shape.tokens
        if limit is None or limit >= len(self.slot_frames) * tokens:
            return self._rows(sorted(self.slot_frames))
        newest = sorted(self.slot_frames, key=self.slot_frames.__getitem__)
        whole, part = divmod(limit, tokens)
        rows = self._rows(newest[len(newest) - whole :])
        if part:  # the limit cuts a frame: its last tokens still count
            slot = newest[-whole - 1]
            rows.append(slice((slot + 1) * tokens - part, (slot + 1) * tokens))
        return rows

    def _rows(self, slots: list[int]) -> list[slice]:
        """Return the token rows of slots; neighbours are joined, so that a full window is one view."""
        rows: list[slice] = []
        for slot in slots:
            start, stop = slot * self.shape.tokens, (slot + 1) * self.shape.tokens
            if rows and rows[-1].stop == start:
                rows[-1] = slice(rows[-1].start, stop)
            else:
                rows.append(slice(start, stop))
        return rows

    def _read(self, buffer: Tensor) -> Tensor:
        if len(self._visible_rows) == 1:
            return buffer[:, self._visible_rows[0]]
        return torch.cat([buffer[:, rows] for rows in self._visible_rows], dim=1)

    def _grow(self, slots: int) -> None:
        """Double the buffers of an unbounded cache that are full."""
        for index, planes in enumerate(self._buffers):
            have = planes[0].shape[1] // self.shape.tokens
            if slots <= have:
                continue
            larger = self._new_planes(max(slots, 2 * have) * self.shape.tokens)
            for new, old in zip(larger, planes, strict=True):
                new[:, : old.shape[1]] = old
            self._buffers[index] = larger

    def _new_planes(self, rows: int) -> Planes:
        """Return unfilled storage for the keys or the values of one layer."""
        shape = 1, rows, self.shape.heads, self.shape.head_dim
        return (torch.empty(shape, device=self._device, dtype=self._dtype),)

    def _encode(self, x: Tensor) -> Planes:
        """Return keys or values [1, N, heads, d] as they are stored."""
        return (x,)
