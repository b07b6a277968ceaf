"""Eight-bit blocks stay near the exact ones, and loading them costs half of bfloat16."""

import torch

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.model.accel.fp8 import quantise_weight
from lingbot_cli.model.attention import attend_all
from lingbot_cli.model.loading.load import load_transformer
from tests.support.reference import REFERENCE

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
