"""KV cache in 8 bits, with a scale per token and head: about half the memory of bfloat16."""

import torch
from torch import Tensor

from lingbot_cli.errors import SetupError
from lingbot_cli.model.attention import AttentionFunction, attend_all
from lingbot_cli.model.kv_cache import KVCache, KVCacheShape, Planes
from lingbot_cli.runtime.memory import KV_BLOCK_BYTES

LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
DTYPES = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
_SCALE_DTYPE = torch.bfloat16
_SMALLEST_SCALE = 1e-12


class QuantisedKVCache(KVCache):
    """Ring cache of int8 or fp8 keys and values; attention dequantises a block of heads at a time.

    The own chunk's keys and values are exact: only those of earlier chunks are read from the cache.
    """

    def __init__(
        self,
        shape: KVCacheShape,
        device: torch.device,
        dtype: torch.dtype,
        attend: AttentionFunction = attend_all,
        *,
        stored: torch.dtype,
    ) -> None:
        """`stored`: type of the cached numbers, int8 or float8_e4m3fn; `dtype` of those that attention reads."""
        self._stored = stored
        super().__init__(shape, device, dtype, attend)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.write(layer, k, v)
        count = self._heads_per_block()
        outputs = []
        for first in range(0, self.shape.heads, count):
            heads = slice(first, first + count)
            keys, values = (
                self._dequantise(self._buffers[2 * layer + i], heads, own) for i, own in enumerate((k, v))
            )
            outputs.append(self._attend_to(q[:, :, heads], keys, values))
        return torch.cat(outputs, dim=2)

    def _new_planes(self, rows: int) -> Planes:
        size = 1, rows, self.shape.heads, self.shape.head_dim
        numbers = torch.empty(size, device=self._device, dtype=self._stored)
        return numbers, torch.empty(*size[:3], 1, device=self._device, dtype=_SCALE_DTYPE)

    def _encode(self, x: Tensor) -> Planes:
        return quantise_heads(x, self._stored)

    def _dequantise(self, planes: Planes, heads: slice, own: Tensor) -> Tensor:
        """Return all visible keys or values of some heads; those of the chunk from `own`, all heads of it."""
        numbers, scales = (plane[:, :, heads] for plane in planes)
        rows = sum(visible.stop - visible.start for visible in self._visible_rows)
        result = torch.empty(1, rows, *numbers.shape[2:], device=self._device, dtype=self._dtype)
        start = 0
        for visible in self._visible_rows:
            part = result[:, start : start + visible.stop - visible.start]
            part.copy_(numbers[:, visible]).mul_(scales[:, visible])
            self._copy_chunk(part, visible, own[:, :, heads])
            start += part.shape[1]
        return result

    def _copy_chunk(self, part: Tensor, visible: slice, own: Tensor) -> None:
        """Replace the chunk's tokens in `part`, which holds the rows `visible`, by the exact ones."""
        done = 0
        for rows in self._chunk_rows:
            first, end = max(rows.start, visible.start), min(rows.stop, visible.stop)
            if first < end:
                offset = done - rows.start
                part[:, first - visible.start : end - visible.start] = own[:, first + offset : end + offset]
            done += rows.stop - rows.start

    def _heads_per_block(self) -> int:
        """Return the number of heads whose dequantised keys and values fit a block."""
        rows = sum(visible.stop - visible.start for visible in self._visible_rows)
        size = 2 * rows * self.shape.head_dim * self._dtype.itemsize
        return min(self.shape.heads, max(1, KV_BLOCK_BYTES // max(size, 1)))


def quantise_heads(x: Tensor, stored: torch.dtype) -> tuple[Tensor, Tensor]:
    """Quantise keys or values [..., d] symmetrically to `stored` and scales [..., 1] bfloat16."""
    exact = x.float()
    largest = LARGEST[stored]
    scale = (exact.abs().amax(dim=-1, keepdim=True) / largest).clamp(min=_SMALLEST_SCALE).to(_SCALE_DTYPE)
    numbers = (exact / scale.float()).clamp(-largest, largest)
    return (numbers.round() if stored == torch.int8 else numbers).to(stored), scale


def new_kv_cache(
    kind: str | None,
    shape: KVCacheShape,
    device: torch.device,
    dtype: torch.dtype,
    attend: AttentionFunction,
) -> KVCache:
    """Return an empty cache, exact or of the `kind` int8 or fp8."""
    if kind is None:
        return KVCache(shape, device, dtype, attend)
    return QuantisedKVCache(shape, device, dtype, attend, stored=DTYPES[kind])


def check_kv_cache(kind: str | None, device: torch.device) -> None:
    """Raise SetupError for a kind of cache whose numbers the device lacks."""
    if kind == "fp8" and device.type == "mps":
        raise SetupError("--kv-cache fp8: mps has no 8-bit floats", hint="use --kv-cache int8")
