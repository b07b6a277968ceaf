"""Linear layers whose weights stay packed in memory and are unpacked for each product, and the tensors for them."""

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_cli.model.accel.fp8 import SCALE_SUFFIX
from lingbot_cli.model.loading.dequantize import dequantize_rows
from lingbot_cli.model.loading.merge import JoinedFactor, MergedTensor
from lingbot_cli.model.loading.tensor_io import PackedTensor, StoredTensor, quantise_stored

PIECE_VALUES = 8 * 2**20
"""Values unpacked at once: the float32 work memory stays below 300 MB at any size of weight."""

_PLAIN = ("bias", "lora_up", "lora_down")


class PackedLinear(nn.Module):
    """A linear layer with a weight of GGUF, NVFP4 or fp8; products are those of the unpacked weight.

    Parameters: `data`, `scale` and `block_scale` as stored, `bias` in `dtype`; `lora_up` [out, rank] and `lora_down`
    [rank, in] in `dtype`, whose product is added to the unpacked weight.
    """

    def __init__(self, tensor: PackedTensor, dtype: torch.dtype, bias: bool, rank: int = 0) -> None:
        """`rank` of the LoRAs, 0 without."""
        super().__init__()
        self.scheme = tensor.entry.scheme
        self.shape = rows, columns = tensor.shape
        self.dtype = dtype
        for name, part in tensor.parts.items():
            values = torch.empty(part.shape, dtype=part.dtype, device="meta")
            self.register_parameter(name, nn.Parameter(values, requires_grad=False))
        self.bias = self._empty(rows) if bias else None
        self.lora_up = self._empty(rows, rank) if rank else None
        self.lora_down = self._empty(rank, columns) if rank else None

    def _empty(self, *shape: int) -> nn.Parameter:
        return nn.Parameter(torch.empty(shape, dtype=self.dtype, device="meta"), requires_grad=False)

    @property
    def weight(self) -> Tensor:
        """An empty tensor of the layer's type: transformers reads the type of its layers' weights."""
        return torch.empty(0, dtype=self.dtype)

    def unpack(self, dtype: torch.dtype) -> Tensor:
        """Return the weight [out, in]."""
        rows, columns = self.shape
        step = max(1, PIECE_VALUES // columns)
        if rows <= step:
            return self._unpack_rows(0, rows).to(dtype)
        weight = torch.empty(rows, columns, dtype=dtype, device=self.get_parameter("data").device)
        for first in range(0, rows, step):
            last = min(first + step, rows)
            weight[first:last] = self._unpack_rows(first, last)
        return weight

    def _unpack_rows(self, first: int, last: int) -> Tensor:
        """Return rows [last − first, in] float32 of the weight, LoRAs added."""
        parts = {name: value for name, value in self.named_parameters() if name not in _PLAIN}
        piece = dequantize_rows(self.scheme, parts, self.shape, first, last)
        if self.lora_up is None or self.lora_down is None:
            return piece
        return piece.addmm_(self.lora_up[first:last].float(), self.lora_down.float())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.unpack(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


def is_fp8_weight(tensor: StoredTensor) -> bool:
    """Return whether a stored weight is in our fp8 scheme or one that becomes it: e4m3 with scales or without."""
    base = tensor.base if isinstance(tensor, MergedTensor) else tensor
    return isinstance(base, PackedTensor) and base.parts["data"].dtype == torch.float8_e4m3fn


def use_packed_layers(
    module: nn.Module, tensors: Mapping[str, StoredTensor], dtype: torch.dtype, *, within: str = ""
) -> dict[str, StoredTensor]:
    """Replace the linear layers of packed weights; return the stored tensors by their new names.

    `within`: prefix of the names whose layers are replaced; other packed weights are unpacked while loading, and
    those that a LoRA changes by more than a product of two factors.
    """
    stored = dict(tensors)
    for name, each in tensors.items():
        changes = each.changes if isinstance(each, MergedTensor) and each.is_low_rank else ()
        tensor = each.base if isinstance(each, MergedTensor) and changes else each
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
        factors = [JoinedFactor(changes, index) for index in (0, 1)] if changes else []
        rank = factors[1].shape[0] if factors else 0
        packed = PackedLinear(tensor, dtype, layer.bias is not None, rank)
        setattr(module.get_submodule(owner), leaf, packed)
        del stored[name]
        stored |= {f"{path}.{part}": stored_part for part, stored_part in tensor.parts.items()}
        if factors:
            stored |= {f"{path}.lora_up": factors[0], f"{path}.lora_down": factors[1]}
    return stored


def split_fp8(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Return the stored tensors with each fp8 weight of the blocks as a weight and scales [out, 1]."""
    stored = dict(tensors)
    for name, tensor in tensors.items():
        if not is_fp8_weight(tensor) or not name.startswith("blocks."):
            continue
        if isinstance(tensor, MergedTensor):
            stored |= quantise_stored({name: tensor})
        elif isinstance(tensor, PackedTensor):
            stored[name] = tensor.parts["data"]
            stored[name + SCALE_SUFFIX] = RowScales(tensor.parts.get("scale"), tensor.shape[0])
    return stored


class RowScales(StoredTensor):
    """Scales [out, 1] float32 of an fp8 weight, from one for all, one a row, or none."""

    def __init__(self, scale: StoredTensor | None, rows: int) -> None:
        super().__init__((rows, 1), torch.float32, 0 if scale is None else scale.bytes)
        self._scale = scale

    def pieces(self) -> Iterator[Tensor]:
        if self._scale is None:
            yield torch.ones(self.shape[0])
            return
        values = torch.empty(self._scale.shape, dtype=self._scale.dtype)
        self._scale.write_to(values)
        yield values.reshape(-1).expand(self.shape[0]).float()
