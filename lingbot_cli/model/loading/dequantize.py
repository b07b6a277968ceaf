"""Values of quantised blocks: GGUF's, NVFP4's and scaled fp8's.

Source of the GGUF layouts: the block structures of ggml. The private functions take blocks [N, bytes] uint8 and
return values [N, values] float32, on the device of the blocks.
"""

import functools
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lingbot_cli.checkpoints.gguf import TYPES

WIDTHS = {name: (values, width) for name, values, width in TYPES.values()}
_FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # magnitudes of e2m1 by its three lower bits
NVFP4_BLOCK = 16


def dequantize(type_name: str, data: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the values float32 of a GGUF tensor's bytes [M] uint8, in `shape`."""
    if type_name in ("F32", "F16", "BF16"):
        dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[type_name]
        return data.contiguous().view(dtype).float().view(shape)
    _, width = WIDTHS[type_name]
    return _BLOCKS[type_name](data.view(-1, width)).reshape(shape)


def nvfp4(weight: Tensor, block_scale: Tensor, scale: Tensor) -> Tensor:
    """Return weights [out, in] float32 of NVFP4: bytes [out, in/2], block scales [out, in/16] e4m3, one scale.

    The lower four bits of a byte are the value of the even column.
    """
    table = _fp4_table(weight.device)
    pairs = torch.stack([weight & 0xF, weight >> 4], dim=-1).long()
    values = table[pairs].flatten(-2)
    blocks = values.unflatten(-1, (-1, NVFP4_BLOCK)) * block_scale.float()[..., None]
    return blocks.flatten(-2) * scale.float()


def swap_nibbles(data: Tensor, _shape: tuple[int, ...]) -> Tensor:
    """Return bytes with their upper and lower four bits exchanged."""
    return (data << 4) | (data >> 4)


def untile_scales(tiled: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return block scales in rows, cut to `shape`, from tiles of 128 rows and 4 columns as cuBLAS takes them.

    A tile holds its first rows of each 32 together: row r and column c are at 16·(r mod 32) + 4·⌊r/32⌋ + c.
    """
    rows, columns = tiled.shape
    tiles = tiled.view(torch.uint8).view(rows // 128, columns // 4, 32, 4, 4)
    whole = tiles.permute(0, 3, 2, 1, 4).reshape(rows, columns)
    return whole[: shape[0], : shape[1]].contiguous().view(tiled.dtype)


@functools.cache
def _fp4_table(device: torch.device) -> Tensor:
    """Return the sixteen values of e2m1, copied to a device only once: that copy blocks the host."""
    with torch.inference_mode(False):
        return torch.tensor([*_FP4, *(-value for value in _FP4)], device=device)


def scaled_fp8(weight: Tensor, scale: Tensor | float) -> Tensor:
    """Return weights [out, in] float32 of an fp8 matrix and its scale, one for all or one a row [out, 1]."""
    return weight.float() * (scale if isinstance(scale, float) else scale.float())


def dequantize_rows(
    scheme: str, parts: Mapping[str, Tensor], shape: tuple[int, ...], first: int, last: int
) -> Tensor:
    """Return rows [last − first, in] float32 of a packed weight of a scheme, by its parts as stored."""
    if scheme == "fp8":
        return scaled_fp8(parts["data"][first:last], _scale_rows(parts.get("scale"), shape, first, last))
    if scheme == "nvfp4":
        return nvfp4(parts["data"][first:last], parts["block_scale"][first:last], parts["scale"].reshape(()))
    width = packed_bytes(scheme, shape[1:])
    return dequantize(scheme, parts["data"][first * width : last * width], (last - first, *shape[1:]))


def _scale_rows(scale: Tensor | None, shape: tuple[int, ...], first: int, last: int) -> Tensor | float:
    """Return the scale of rows, one for all or [rows, 1]."""
    if scale is None:
        return 1.0
    if scale.numel() == 1:
        return scale.reshape(())
    return scale.reshape(shape[0], 1)[first:last]


def _half(block: Tensor, at: int) -> Tensor:
    """Return the float16 at a byte offset of each block, [N, 1] float32."""
    return block[:, at : at + 2].contiguous().view(torch.float16).float()


def _bits(block: Tensor, width: int, mask: int) -> Tensor:
    """Return [N, 8/width, bytes]: each byte shifted by every multiple of `width` bits, and masked."""
    shift = torch.arange(0, 8, width, dtype=torch.uint8, device=block.device)[None, :, None]
    return (block[:, None] >> shift) & mask


def _nibbles(block: Tensor) -> Tensor:
    """Return the low nibbles of all bytes, then the high ones."""
    return _bits(block, 4, 0xF).flatten(1)


def _five_bits(block: Tensor) -> Tensor:
    """Return 32 values: their fifth bits are four bytes, lowest first, and the nibbles of the next 16 the rest."""
    fifth = (block[:, :4, None] >> torch.arange(8, dtype=torch.uint8, device=block.device)) & 1
    return _nibbles(block[:, 4:]) | (fifth.flatten(1) << 4)


def _scales_and_mins(packed: Tensor) -> tuple[Tensor, Tensor]:
    """Return eight 6-bit scales and minima [N, 8, 1] float32 of twelve bytes (Q4_K, Q5_K)."""
    low, high, rest = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = torch.cat([low & 63, (rest & 0xF) | ((low >> 6) << 4)], dim=1)
    mins = torch.cat([high & 63, (rest >> 4) | ((high >> 6) << 4)], dim=1)
    return scales.float()[..., None], mins.float()[..., None]


def _groups(block: Tensor) -> Tensor:
    """Return the nibbles of 128 bytes as eight groups [N, 8, 32]: of each 32 bytes the low ones, then the high."""
    return _bits(block.reshape(-1, 32), 4, 0xF).view(len(block), 8, 32)


def _scaled_groups(block: Tensor, values: Tensor) -> Tensor:
    """Return eight groups of values, each with its scale and minimum, as Q4_K and Q5_K have them."""
    scales, mins = _scales_and_mins(block[:, 4:16])
    d, least = _half(block, 0)[..., None], _half(block, 2)[..., None]
    return (d * scales * values.float() - least * mins).flatten(1)


def _q6_k(block: Tensor) -> Tensor:
    low = _bits(block[:, :128].reshape(-1, 64), 4, 0xF).view(-1, 8, 32)
    high = _bits(block[:, 128:192].reshape(-1, 32), 2, 3).view(-1, 8, 32)
    values = ((low | (high << 4)).to(torch.int16) - 32).float().view(-1, 16, 16)
    scales = block[:, 192:208].view(torch.int8).float()[..., None]
    return (_half(block, 208)[..., None] * scales * values).flatten(1)


def _two_bits(block: Tensor) -> Tensor:
    """Return the 2-bit values of 64 bytes as sixteen groups [N, 16, 16]."""
    return _bits(block.reshape(-1, 32), 2, 3).view(len(block), 16, 16)


def _q2_k(block: Tensor) -> Tensor:
    scales, values = block[:, :16], _two_bits(block[:, 16:80]).float()
    d, least = _half(block, 80)[..., None], _half(block, 82)[..., None]
    return (
        d * (scales & 0xF).float()[..., None] * values - least * (scales >> 4).float()[..., None]
    ).flatten(1)


def _q3_k(block: Tensor) -> Tensor:
    packed = block[:, 96:108]
    low = _bits(packed[:, :8], 4, 0xF).flatten(1)
    high = _bits(packed[:, 8:], 2, 3).flatten(1)
    scales = ((low | (high << 4)).to(torch.int16) - 32).float()[..., None]
    third = _bits(block[:, :32], 1, 1).view(-1, 16, 16)
    values = _two_bits(block[:, 32:96]).to(torch.int16) - ((third ^ 1) << 2).to(torch.int16)
    return (_half(block, 108)[..., None] * scales * values.float()).flatten(1)


_BLOCKS: dict[str, Callable[[Tensor], Tensor]] = {
    "Q4_0": lambda block: _half(block, 0) * (_nibbles(block[:, 2:]).float() - 8),
    "Q4_1": lambda block: _half(block, 0) * _nibbles(block[:, 4:]).float() + _half(block, 2),
    "Q5_0": lambda block: _half(block, 0) * (_five_bits(block[:, 2:]).float() - 16),
    "Q5_1": lambda block: _half(block, 0) * _five_bits(block[:, 4:]).float() + _half(block, 2),
    "Q8_0": lambda block: _half(block, 0) * block[:, 2:].view(torch.int8).float(),
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": lambda block: _scaled_groups(block, _groups(block[:, 16:])),
    "Q5_K": lambda block: _scaled_groups(block, _groups(block[:, 48:]) | (_bits(block[:, 16:48], 1, 1) << 4)),
    "Q6_K": _q6_k,
}


def packed_bytes(type_name: str, shape: tuple[int, ...]) -> int:
    """Return the bytes that a tensor of a type and shape takes."""
    values, width = WIDTHS[type_name]
    return math.prod(shape) // values * width
