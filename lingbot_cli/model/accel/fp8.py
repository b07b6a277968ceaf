"""FP8 weights of the blocks' linear layers, with scales per row: half the memory of bfloat16.

Products are computed in bfloat16 from dequantised weights, or in fp8 with scales per token as well.
"""

import re
from collections.abc import Callable, Container

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_cli.runtime.hardware import Capability, has_fp8_units

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0
SCALE_SUFFIX = "_scale"
"""Appended to a quantised weight's name for the name of its scales."""
_QUANTISED_NAME = re.compile(r"blocks\.\d+\..*\.weight")

# x [..., in], fp8 weight [out, in], its scales [out, 1] float32, bias [out] → [..., out] of x's type.
QuantisedMatmul = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Fp8Linear(nn.Module):
    """A linear layer whose weight [out, in] is fp8 times `weight_scale` [out, 1] float32."""

    def __init__(
        self, features_in: int, features_out: int, dtype: torch.dtype, matmul: QuantisedMatmul
    ) -> None:
        super().__init__()
        self.matmul = matmul
        self.weight = nn.Parameter(torch.empty(features_out, features_in, dtype=FP8), requires_grad=False)
        self.weight_scale = nn.Parameter(torch.empty(features_out, 1), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(features_out, dtype=dtype), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.matmul(x, self.weight, self.weight_scale, self.bias)


def matmul_dequantised(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Multiply in x's type."""
    # A row's scale applies to a column of the result, so the weight itself is only cast.
    return F.linear(x, weight.to(x.dtype)) * scale.view(-1).to(x.dtype) + bias.to(x.dtype)


def use_fp8(
    transformer: nn.Module,
    dtype: torch.dtype,
    matmul: QuantisedMatmul = matmul_dequantised,
    *,
    only: Container[str] | None = None,
) -> None:
    """Replace the linear layers of a transformer's blocks by unfilled fp8 ones, on any device.

    `only`: names of the weights whose layers are replaced, all by default.
    """
    for index, block in enumerate(transformer.get_submodule("blocks").children()):
        for name, module in list(block.named_modules()):
            if isinstance(module, nn.Linear) and (only is None or f"blocks.{index}.{name}.weight" in only):
                owner, _, leaf = name.rpartition(".")
                with module.weight.device:
                    layer = Fp8Linear(module.in_features, module.out_features, dtype, matmul)
                setattr(block.get_submodule(owner), leaf, layer)


def is_quantised_weight(name: str) -> bool:
    """Return whether a tensor's name is that of a weight stored in fp8."""
    return _QUANTISED_NAME.fullmatch(name) is not None and "norm" not in name


def quantise_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise a weight [out, in] to fp8 and scales [out, 1] float32."""
    rows = weight.float()
    scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / FP8_MAX
    return (rows / scale).to(FP8), scale


def pick_matmul(capability: Capability) -> QuantisedMatmul:
    """Return the fp8 product of a device with fp8 tensor cores, else its emulation."""
    return matmul_fp8 if has_fp8_units(capability) else matmul_fp8_emulated


def matmul_fp8(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Multiply x [..., in], quantised per token, and a weight [out, in] on fp8 tensor cores."""
    bits, scales = quantise_tokens(x.flatten(0, -2))
    y = torch._scaled_mm(
        bits,
        weight.t(),
        scale_a=scales,
        scale_b=scale.t(),
        bias=bias.to(torch.bfloat16),
        out_dtype=torch.bfloat16,  # the only output type with row-wise scales on all such devices
        use_fast_accum=True,
    )
    return y.to(x.dtype).view(*x.shape[:-1], -1)


def matmul_fp8_emulated(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Multiply the same quantised values in x's type: no speed-up, the same error."""
    bits, scales = quantise_tokens(x)
    y = F.linear(bits.to(x.dtype), weight.to(x.dtype)) * scales.to(x.dtype) * scale.view(-1).to(x.dtype)
    return y + bias.to(x.dtype)


def quantise_tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise tokens x [..., in] to fp8 and scales [..., 1] float32; each token fills the whole range."""
    # All in x's type: a float32 copy would cost what the fp8 product saves. The smallest divisor keeps the
    # quotient of an all-zero token finite after rounding.
    smallest = 2 * FP8_MAX / torch.finfo(x.dtype).max
    largest = torch.linalg.vector_norm(x, float("inf"), dim=-1, keepdim=True).clamp(min=smallest)
    factor = FP8_MAX / largest
    return (x * factor).to(FP8), factor.float().reciprocal()
