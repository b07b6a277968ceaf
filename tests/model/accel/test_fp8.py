"""Error and size of fp8 weights, and products in fp8."""

import pytest
import torch

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.model import rope
from lingbot_cli.model.accel.fp8 import (
    Fp8Linear,
    matmul_fp8,
    matmul_fp8_emulated,
    pick_matmul,
    quantise_tokens,
    quantise_weight,
    use_fp8,
)
from lingbot_cli.model.attention import attend_all
from lingbot_cli.model.loading.loader import load_transformer
from tests.support.reference import REFERENCE, tiny_world

CHECKPOINT = REFERENCE / "checkpoints" / "diffusers-v1-fast"


def flow(precision: str) -> torch.Tensor:
    transformer = load_transformer(read_checkpoint(CHECKPOINT), torch.device("cpu"), precision)
    draw = torch.Generator().manual_seed(0)
    latents, condition, rays = (torch.randn(1, n, 2, 4, 6, generator=draw) for n in (16, 20, 384))
    text = transformer.embed_text(torch.randn(5, 48, generator=draw))
    with torch.inference_mode():
        made = transformer(
            latents,
            condition,
            torch.tensor([900.0]),
            transformer.embed_camera(rays),
            text,
            rope.rotation_table(0, 2, 2, 3, transformer.config.head_dim, torch.device("cpu")),
            lambda _, q, k, v: attend_all(q, k, v),
        )
    assert made is not None
    return made


def test_the_product_of_bits_and_scales_is_near_the_weight() -> None:
    weight = (
        torch.randn(64, 48, generator=torch.Generator().manual_seed(1)) * torch.logspace(-4, 3, 64)[:, None]
    )
    bits, scale = quantise_weight(weight)
    error = (bits.float() * scale - weight).abs() / weight.abs().amax(dim=1, keepdim=True)
    assert bits.dtype == torch.float8_e4m3fn
    assert error.max() < 1 / 28  # half a step of three mantissa bits at the top of the range


def test_the_flow_is_near_the_exact_one() -> None:
    exact, rough = flow("float32"), flow("fp8")
    bfloat = flow("bfloat16")
    assert not torch.equal(rough, exact)
    assert (rough - exact).std() < 0.1 * exact.std()
    assert (bfloat - exact).std() < (rough - exact).std()


def test_the_blocks_take_a_quarter_of_float32() -> None:
    def block_bytes(precision: str) -> int:
        transformer = load_transformer(read_checkpoint(CHECKPOINT), torch.device("cpu"), precision)
        return sum(parameter.nbytes for parameter in transformer.blocks.parameters())

    assert block_bytes("fp8") < 0.3 * block_bytes("float32")


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
