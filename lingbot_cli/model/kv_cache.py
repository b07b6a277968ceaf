"""The keys and values a session has seen: the first frames for ever, then the newest ones (model §5)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lingbot_cli.errors import UsageError
from lingbot_cli.model.attention import AttentionFunction, attend_all


@dataclass(frozen=True)
class KVCacheShape:
    """What a cache is made for: layers, tokens of one latent frame, heads, channels of a head.

    `window` and `sink` count latent frames, the window including the sink; −1 keeps everything.
    `max_attention_tokens` limits a query to the newest tokens kept, its own chunk included.
    """

    layers: int
    tokens: int
    heads: int
    head_dim: int
    window: int
    sink: int
    max_attention_tokens: int | None = None

    def check(self, chunk: int) -> None:
        """Refuse a window that cannot hold the sink and beside it a whole chunk of `chunk` latent frames."""
        if self.sink < 0 or (self.window >= 0 and self.window < self.sink + chunk):
            raise UsageError(
                f"a window of {self.window} latent frames cannot hold a sink of {self.sink} and a chunk of {chunk}",
                hint=f"use a window of at least {max(self.sink, 0) + chunk}, or -1 for no limit",
            )


class KVCache:
    """K and V per layer, [1, slots·tokens, heads, d], as a ring behind the sink.

    Positions are baked into the keys, so the order of slots means nothing and nothing is ever moved.
    All cursors are Python integers: no step asks the device for a number.
    """

    def __init__(
        self,
        shape: KVCacheShape,
        device: torch.device,
        dtype: torch.dtype,
        attend: AttentionFunction = attend_all,
    ) -> None:
        """`attend` computes the attention of rotated queries to all keys and values that are seen."""
        self.shape = shape
        self._attend_to = attend
        self.held: dict[int, int] = {}  # slot → absolute latent frame
        self._chunk_rows: list[slice] = []
        self._visible_rows: list[slice] = []
        slots = max(shape.window, 0)
        self._buffers = [self._new_buffer(slots, device, dtype) for _ in range(2 * shape.layers)]

    def begin(self, start: int, frames: int) -> None:
        """Make room for a chunk of latent frames [start, start+frames); the oldest behind the sink leave."""
        slots = [self._slot_of(frame) for frame in range(start, start + frames)]
        self.held.update(zip(slots, range(start, start + frames), strict=True))
        self._grow(max(self.held) + 1)
        self._chunk_rows = self._rows(slots)
        self._visible_rows = self._visible_slots()

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Keep this chunk's rotated k and v [1, N, heads, d], then let q see all that is kept."""
        self.write(layer, k, v)
        keys, values = (self._read(self._buffers[2 * layer + i]) for i in range(2))
        return self._attend_to(q, keys, values)

    def write(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Keep this chunk's rotated k and v; a later pass over the same chunk overwrites them."""
        for buffer, new in ((self._buffers[2 * layer], k), (self._buffers[2 * layer + 1], v)):
            done = 0
            for rows in self._chunk_rows:
                count = rows.stop - rows.start
                buffer[:, rows] = new[:, done : done + count]
                done += count

    @property
    def nbytes(self) -> int:
        """Bytes the buffers take."""
        return sum(buffer.nbytes for buffer in self._buffers)

    def _slot_of(self, frame: int) -> int:
        window, sink = self.shape.window, self.shape.sink
        if window < 0 or frame < sink:
            return frame
        return sink + (frame - sink) % (window - sink)

    def _visible_slots(self) -> list[slice]:
        limit, tokens = self.shape.max_attention_tokens, self.shape.tokens
        if limit is None or limit >= len(self.held) * tokens:
            return self._rows(sorted(self.held))
        newest = sorted(self.held, key=self.held.__getitem__)
        whole, part = divmod(limit, tokens)
        rows = self._rows(newest[len(newest) - whole :])
        if part:  # the limit cuts a frame: its last tokens still count
            slot = newest[-whole - 1]
            rows.append(slice((slot + 1) * tokens - part, (slot + 1) * tokens))
        return rows

    def _rows(self, slots: list[int]) -> list[slice]:
        """Token rows of slots, neighbours joined, so that a full window is one view."""
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
        """Without a window the buffers double as the film grows."""
        have = self._buffers[0].shape[1] // self.shape.tokens
        if slots <= have:
            return
        for index, old in enumerate(self._buffers):
            new = self._new_buffer(max(slots, 2 * have), old.device, old.dtype)
            new[:, : old.shape[1]] = old
            self._buffers[index] = new

    def _new_buffer(self, slots: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        shape = self.shape
        return torch.empty(1, slots * shape.tokens, shape.heads, shape.head_dim, device=device, dtype=dtype)
