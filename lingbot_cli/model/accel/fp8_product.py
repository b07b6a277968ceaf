"""Products computed in eight bits, with a scale for each token and one for each row of the weight."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_cli.model.accel.fp8 import FP8, FP8_MAX, QuantisedMatmul
from lingbot_cli.runtime.capabilities import Capability, has_fp8_units


def pick_matmul(capability: Capability) -> QuantisedMatmul:
    """The eight-bit product on the matrix units of a device that has them, else the same arithmetic emulated."""
    return matmul_fp8 if has_fp8_units(capability) else matmul_fp8_emulated


def matmul_fp8(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """The product of x [..., in] and a weight [out, in], both in eight bits, summed by the matrix units."""
    bits, scales = quantise_tokens(x.flatten(0, -2))
    y = torch._scaled_mm(
        bits,
        weight.t(),
        scale_a=scales,
        scale_b=scale.t(),
        bias=bias.to(torch.bfloat16),
        out_dtype=torch.bfloat16,  # the only one that row-wise scales come with on every such device
        use_fast_accum=True,
    )
    return y.to(x.dtype).view(*x.shape[:-1], -1)


def matmul_fp8_emulated(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """The same numbers, multiplied in x's own type: it saves nothing and shows the error."""
    bits, scales = quantise_tokens(x)
    y = F.linear(bits.to(x.dtype), weight.to(x.dtype)) * scales.to(x.dtype) * scale.view(-1).to(x.dtype)
    return y + bias.to(x.dtype)


def quantise_tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens x [..., in] as eight bits and scales [..., 1] float32, each token filling the whole range."""
    # In x's own type throughout, for a copy in float32 would cost what the product saves; the least divisor
    # keeps the quotient finite for a token of zeros, rounded up as it may be.
    least = 2 * FP8_MAX / torch.finfo(x.dtype).max
    largest = torch.linalg.vector_norm(x, float("inf"), dim=-1, keepdim=True).clamp(min=least)
    raised = FP8_MAX / largest
    return (x * raised).to(FP8), raised.float().reciprocal()
