"""Linear layers whose weights stay packed in memory and are unpacked for each product, and the tensors for them."""

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_cli.checkpoints.packed import PackedEntry
from lingbot_cli.model.accel.fp8 import SCALE_SUFFIX
from lingbot_cli.model.loading.dequantize import dequantize_rows
from lingbot_cli.model.loading.tensor_io import PackedTensor, SafetensorsTensor, StoredTensor

PIECE_VALUES = 8 * 2**20
"""Values unpacked at once: the float32 work memory stays below 300 MB at any size of weight."""


class PackedLinear(nn.Module):
    """A linear layer with a weight of GGUF, NVFP4 or fp8; products are those of the unpacked weight.

    Parameters: `data`, `scale` and `block_scale` as stored, `bias` in `dtype`.
    """

    def __init__(
        self, entry: PackedEntry, dtypes: dict[str, torch.dtype], dtype: torch.dtype, bias: bool
    ) -> None:
        """`dtypes`: torch types of the entry's parts by name."""
        super().__init__()
        self.scheme = entry.scheme
        self.shape = entry.shape
        self.dtype = dtype
        for name, part in entry.parts.items():
            values = torch.empty(part.shape, dtype=dtypes[name], device="meta")
            self.register_parameter(name, nn.Parameter(values, requires_grad=False))
        empty = torch.empty(entry.shape[0], dtype=dtype, device="meta") if bias else None
        self.bias = None if empty is None else nn.Parameter(empty, requires_grad=False)

    @property
    def weight(self) -> Tensor:
        """An empty tensor of the layer's type: transformers reads the type of its layers' weights."""
        return torch.empty(0, dtype=self.dtype)

    def unpack(self, dtype: torch.dtype) -> Tensor:
        """Return the weight [out, in]."""
        rows, columns = self.shape
        parts = {name: value for name, value in self.named_parameters() if name != "bias"}
        step = max(1, PIECE_VALUES // columns)
        if rows <= step:
            return dequantize_rows(self.scheme, parts, self.shape, 0, rows).to(dtype)
        weight = torch.empty(rows, columns, dtype=dtype, device=parts["data"].device)
        for first in range(0, rows, step):
            last = min(first + step, rows)
            weight[first:last] = dequantize_rows(self.scheme, parts, self.shape, first, last)
        return weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.unpack(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


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


class RowScales(StoredTensor):
    """Scales [out, 1] float32 of an fp8 weight, from one for all, one a row, or none."""

    def __init__(self, scale: SafetensorsTensor | None, rows: int) -> None:
        super().__init__((rows, 1), torch.float32, 0 if scale is None else scale.bytes)
        self._scale = scale

    def pieces(self) -> Iterator[Tensor]:
        if self._scale is None:
            yield torch.ones(self.shape[0])
            return
        values = torch.empty(self._scale.shape, dtype=self._scale.dtype)
        self._scale.write_to(values)
        yield values.reshape(-1).expand(self.shape[0]).float()
