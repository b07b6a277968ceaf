"""Products in eight bits: each token and each row of a weight fills the whole range, and little is lost."""

import pytest
import torch

from lingbot_cli.model.accel.fp8 import Fp8Linear, quantise_weight, use_fp8
from lingbot_cli.model.accel.fp8_product import matmul_fp8, matmul_fp8_emulated, pick_matmul, quantise_tokens
from tests.support.reference import tiny_world


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_token_of_any_size_keeps_three_bits(dtype):
    tokens = (drawn(6, 64) * torch.tensor([0.0, 1e-4, 0.1, 1.0, 100.0, 3000.0])[:, None]).to(dtype)
    bits, scale = quantise_tokens(tokens)
    assert bits.dtype == torch.float8_e4m3fn
    error = (bits.float() * scale - tokens.float()).abs()
    least = 1e-4 if dtype == torch.float16 else 1e-30  # what float16 leaves of a tiny token
    assert (error <= tokens.float().abs().amax(dim=1, keepdim=True) / 24 + least).all()


def test_the_matrix_units_are_called_for_the_same_product():
    weight, scale = quantise_weight(drawn(192, 96, seed=1))
    x, bias = drawn(2, 5, 96), drawn(192, seed=2)
    exact = torch.nn.functional.linear(x, weight.float() * scale, bias)
    found = [product(x, weight, scale, bias) for product in (matmul_fp8, matmul_fp8_emulated)]
    torch.testing.assert_close(*found, atol=0.1, rtol=0.01)  # one of them ends in bfloat16
    for each in found:
        assert (each - exact).std() < 0.05 * exact.std()


def test_only_devices_with_such_units_are_asked_for_them():
    chosen = [pick_matmul(able) for able in (None, (8, 0), (8, 6), (8, 9), (9, 0), (10, 0))]
    assert chosen == [matmul_fp8_emulated] * 3 + [matmul_fp8] * 3


def test_the_layers_outside_the_blocks_stay_as_they_are():
    transformer = type(tiny_world().transformer)(tiny_world().transformer.config)
    use_fp8(transformer, torch.float32, matmul_fp8_emulated)
    eight = {name for name, module in transformer.named_modules() if isinstance(module, Fp8Linear)}
    assert all(name.startswith("blocks.") for name in eight)
    assert len(eight) == 3 * (4 + 4 + 4 + 2)  # per block: two attentions, the camera, the feed-forward
