"""Linear layer whose weight stays packed in memory and is unpacked for each product."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_cli.checkpoints.packed import PackedEntry
from lingbot_cli.model.loading.dequantize import dequantize_rows

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
