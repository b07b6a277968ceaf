"""Checks of fast mode on a GPU: `python -m tests.gpu.check_speed_options`.

Compares the hardware's fp8 product with the emulated one and int8 attention with exact attention, at the shapes of
the published models; prints the measured errors.
"""

import torch
import torch.nn.functional as F

from lingbot_cli.errors import SetupError
from lingbot_cli.model.accel.fp8 import matmul_fp8, matmul_fp8_emulated, quantise_weight
from lingbot_cli.model.accel.int8_attention import int8_attention
from lingbot_cli.model.attention import attend_all
from lingbot_cli.model.device import compute_capability
from lingbot_cli.runtime.capabilities import has_fp8_units

DEVICE = torch.device("cuda")
TOKENS = 6240
"""Tokens of four latent frames at 832x480."""


def main() -> None:
    """Run every check that this device supports. Errors: AssertionError for one that fails."""
    draw = torch.Generator(DEVICE).manual_seed(0)
    able = compute_capability(DEVICE)
    if has_fp8_units(able):
        for wide, narrow in ((1536, 1536), (1536, 8960), (5120, 5120), (13824, 5120)):
            linear(wide, narrow, draw)
    else:
        print(f"fp8 linears: not on compute capability {able}")
    try:
        attend = int8_attention(able, torch.bfloat16)
    except SetupError as lack:
        print(f"int8 attention: {lack}")
        return
    for heads in (12, 40):
        q, k, v = (torch.randn(1, n * TOKENS, heads, 128, device=DEVICE, generator=draw) for n in (1, 3, 3))
        q, k, v = (x.bfloat16() for x in (q, k, v))
        exact, made = attend_all(q, k, v), attend(q, k, v)
        error = relative(made, exact)
        print(f"int8 attention, {heads} heads: {error:.2%} from exact")
        assert error < 0.1


def linear(wide: int, narrow: int, draw: torch.Generator) -> None:
    """Compare one linear layer: hardware fp8 with bfloat16 and with emulated fp8."""
    x = torch.randn(TOKENS, wide, device=DEVICE, generator=draw).bfloat16()
    whole = torch.randn(narrow, wide, device=DEVICE, generator=draw) * wide**-0.5
    bias = torch.randn(narrow, device=DEVICE, generator=draw).bfloat16()
    weight, scale = quantise_weight(whole)
    exact = F.linear(x, whole.bfloat16(), bias)
    hardware, software = matmul_fp8(x, weight, scale, bias), matmul_fp8_emulated(x, weight, scale, bias)
    figures = relative(hardware, exact), relative(hardware, software)
    print("fp8 linear {}→{}: {:.2%} from exact, {:.2%} from emulated".format(wide, narrow, *figures))
    assert figures[0] < 0.06
    assert figures[1] < 0.02


def relative(made: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the RMS error divided by the standard deviation of the exact values."""
    return float((made - exact).float().square().mean().sqrt() / exact.float().std())


if __name__ == "__main__":
    main()
