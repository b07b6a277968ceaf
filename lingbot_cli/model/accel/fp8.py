"""Block matrices in eight bits with a scale a row: half the memory of bfloat16, computed in bfloat16."""

import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0
SCALE_SUFFIX = "_scale"
"""What a quantised weight's name gets for the name of its scales."""
_QUANTISED_NAME = re.compile(r"blocks\.\d+\..*\.weight")

# x [..., in], a weight [out, in] in eight bits, its scales [out, 1] float32, a bias [out] → [..., out] as x.
QuantisedMatmul = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def matmul_dequantised(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """The product in x's own type: eight bits are only how the weight is kept."""
    # The scale goes on the result, a row of the weight being a column of it: the weight is only cast.
    return F.linear(x, weight.to(x.dtype)) * scale.view(-1).to(x.dtype) + bias.to(x.dtype)


class Fp8Linear(nn.Module):
    """A linear layer whose weight [out, in] is eight bits times `weight_scale` [out, 1] float32."""

    def __init__(
        self, features_in: int, features_out: int, dtype: torch.dtype, product: QuantisedMatmul
    ) -> None:
        super().__init__()
        self.product = product
        self.weight = nn.Parameter(torch.empty(features_out, features_in, dtype=FP8), requires_grad=False)
        self.weight_scale = nn.Parameter(torch.empty(features_out, 1), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(features_out, dtype=dtype), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.weight, self.weight_scale, self.bias)


def use_fp8(
    transformer: nn.Module, dtype: torch.dtype, product: QuantisedMatmul = matmul_dequantised
) -> None:
    """Replace the linear layers of a transformer's blocks, on any device; their weights are still to be filled."""
    for block in transformer.get_submodule("blocks").children():
        for name, module in list(block.named_modules()):
            if isinstance(module, nn.Linear):
                owner, _, leaf = name.rpartition(".")
                with module.weight.device:
                    layer = Fp8Linear(module.in_features, module.out_features, dtype, product)
                setattr(block.get_submodule(owner), leaf, layer)


def is_quantised_weight(name: str) -> bool:
    """Whether a tensor of this name is one of those matrices."""
    return _QUANTISED_NAME.fullmatch(name) is not None and "norm" not in name


def quantise_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A weight [out, in] as eight bits and scales [out, 1] float32 whose product is nearest to it."""
    rows = weight.float()
    scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / FP8_MAX
    return (rows / scale).to(FP8), scale
