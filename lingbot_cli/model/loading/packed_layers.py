"""Layers for packed weights: which layer of a module holds which stored weight, and under which names."""

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from lingbot_cli.model.accel.fp8 import SCALE_SUFFIX
from lingbot_cli.model.loading.tensor_io import PackedTensor, SafetensorsTensor, StoredTensor
from lingbot_cli.model.packed_linear import PackedLinear


def is_fp8_weight(tensor: StoredTensor) -> bool:
    """Return whether a stored weight is in our fp8 scheme or one that becomes it: e4m3 with scales or without."""
    return isinstance(tensor, PackedTensor) and tensor.parts["data"].dtype == torch.float8_e4m3fn


def use_packed_layers(
    module: nn.Module, tensors: Mapping[str, StoredTensor], dtype: torch.dtype, *, within: str = ""
) -> dict[str, StoredTensor]:
    """Replace the linear layers of packed weights; return the stored tensors by their new names.

    `within`: prefix of the names whose layers are replaced; other packed weights are unpacked while loading.
    """
    stored = dict(tensors)
    for name, tensor in tensors.items():
        if not isinstance(tensor, PackedTensor) or not name.startswith(within):
            continue
        path = name.removesuffix(".weight")
        owner, _, leaf = path.rpartition(".")
        try:
            layer = module.get_submodule(path)
        except AttributeError:
            continue  # reported by name when the tensors are matched
        if not isinstance(layer, nn.Linear) or tuple(layer.weight.shape) != tensor.shape:
            continue
        dtypes = {part: each.dtype for part, each in tensor.parts.items()}
        packed = PackedLinear(tensor.entry, dtypes, dtype, layer.bias is not None)
        setattr(module.get_submodule(owner), leaf, packed)
        del stored[name]
        stored |= {f"{path}.{part}": each for part, each in tensor.parts.items()}
    return stored


def split_fp8(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Return the stored tensors with each fp8 weight of the blocks as a weight and scales [out, 1]."""
    stored = dict(tensors)
    for name, tensor in tensors.items():
        if isinstance(tensor, PackedTensor) and is_fp8_weight(tensor) and name.startswith("blocks."):
            stored[name] = tensor.parts["data"]
            stored[name + SCALE_SUFFIX] = RowScales(tensor.parts.get("scale"), tensor.shape[0])
    return stored


class RowScales:
    """Scales [out, 1] float32 of an fp8 weight, from one for all, one a row, or none."""

    def __init__(self, scale: SafetensorsTensor | None, rows: int) -> None:
        self._scale = scale
        self.shape: tuple[int, ...] = (rows, 1)
        self.dtype = torch.float32
        self.bytes = 0 if scale is None else scale.bytes

    def write_to(self, target: torch.Tensor) -> None:
        """Copy the scales to `target` [out, 1]."""
        if self._scale is None:
            target.fill_(1.0)
            return
        values = torch.empty(self._scale.shape, dtype=self._scale.dtype)
        self._scale.write_to(values)
        target.copy_(
            values.reshape(-1, 1).expand(target.shape) if values.numel() == 1 else values.view(-1, 1)
        )

    def pieces(self) -> Iterator[torch.Tensor]:
        """Yield the scales as one piece."""
        values = torch.empty(self.shape)
        self.write_to(values)
        yield values.view(-1)
