"""Writer of GGUF files with the blocks' matrices quantised, one tensor in memory at a time.

Layout: the GGUF specification of ggml, version 3. Rounding: that of ggml's reference quantisers.
"""

import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from lingbot_cli.checkpoints.gguf import MAGIC, TYPES
from lingbot_cli.model.accel.fp8 import is_quantised_weight
from lingbot_cli.model.loading.tensor_io import StoredTensor

ALIGNMENT = 32
BLOCK = 32
"""Values that share a scale, in both types that are written."""
_NUMBERS = {name: number for number, (name, _, _) in TYPES.items()}
_MAX_DIMENSIONS = 4
_STRING, _ARRAY, _INT32 = 8, 9, 5


def write_gguf(file: Path, tensors: Mapping[str, StoredTensor], kind: str) -> None:
    """Write a transformer, the blocks' matrices as `kind`: Q8_0 or Q4_0, the rest as BF16 and vectors as F32."""
    kinds = {name: _kind(name, tensor, kind) for name, tensor in tensors.items()}
    with file.open("wb") as target:
        target.write(_header(tensors, kinds))
        for name, stored in tensors.items():
            values = torch.empty(stored.shape)
            stored.write_to(values)
            target.write(_padded(raw_bytes(_ENCODERS[kinds[name]](values))))


def quantise_q8_0(values: Tensor) -> Tensor:
    """Return the bytes [N, 34] of blocks of 32: a scale and signed 8-bit numbers."""
    blocks = values.reshape(-1, BLOCK)
    scale = blocks.abs().amax(dim=1, keepdim=True) / 127
    scaled = blocks * torch.where(scale == 0, 0.0, 1 / scale)
    rounded = (scaled.abs() + 0.5).floor() * scaled.sign()  # half away from zero
    return torch.cat([scale.half().view(torch.uint8), rounded.to(torch.int8).view(torch.uint8)], dim=1)


def quantise_q4_0(values: Tensor) -> Tensor:
    """Return the bytes [N, 18] of blocks of 32: a scale and 4-bit numbers, whose middle is 8."""
    blocks = values.reshape(-1, BLOCK)
    largest = blocks.gather(1, blocks.abs().argmax(dim=1, keepdim=True))
    scale = largest / -8
    scaled = blocks * torch.where(scale == 0, 0.0, 1 / scale)
    bits = (scaled + 8.5).trunc().clamp(0, 15).to(torch.uint8)
    return torch.cat([scale.half().view(torch.uint8), bits[:, :16] | (bits[:, 16:] << 4)], dim=1)


_ENCODERS: dict[str, Callable[[Tensor], Tensor]] = {
    "Q8_0": quantise_q8_0, "Q4_0": quantise_q4_0, "BF16": Tensor.bfloat16, "F32": Tensor.float
}  # fmt: skip


def _kind(name: str, tensor: StoredTensor, kind: str) -> str:
    if is_quantised_weight(name) and len(tensor.shape) == 2 and tensor.shape[1] % BLOCK == 0:
        return kind
    return "F32" if len(tensor.shape) < 2 or name.endswith("modulation") else "BF16"


def _header(tensors: Mapping[str, StoredTensor], kinds: Mapping[str, str]) -> bytes:
    """Return metadata and table of tensors; one of more axes than GGUF has is flat, its shape in the metadata."""
    large = {name: tensor.shape for name, tensor in tensors.items() if len(tensor.shape) > _MAX_DIMENSIONS}
    head = MAGIC + struct.pack("<IQQ", 3, len(tensors), 1 + len(large))
    head += _string("general.architecture") + struct.pack("<I", _STRING) + _string("wan")
    for name, shape in large.items():
        head += _string(f"comfy.gguf.orig_shape.{name}")
        head += struct.pack(f"<IIQ{len(shape)}i", _ARRAY, _INT32, len(shape), *shape)
    offset = 0
    for name, tensor in tensors.items():
        shape = (tensor.shape[0], math.prod(tensor.shape[1:])) if name in large else tensor.shape
        head += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        head += struct.pack("<IQ", _NUMBERS[kinds[name]], offset)
        _, values, width = TYPES[_NUMBERS[kinds[name]]]
        size = math.prod(shape) // values * width
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    return _padded(head)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def raw_bytes(tensor: Tensor) -> bytes:
    """Return the bytes of a tensor's values, as they are in memory."""
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % ALIGNMENT)
