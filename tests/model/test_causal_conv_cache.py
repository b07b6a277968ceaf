"""The VAE's cache joins past and new frames in one buffer, equal to a concatenation."""

import pytest
import torch

from lingbot_cli.model.vae_layers import CausalConvCache, RMSNorm

ORDERS = [torch.contiguous_format, torch.channels_last_3d]


def frames(seed: int, count: int, order: torch.memory_format) -> torch.Tensor:
    x = torch.randn(1, 5, count, 3, 7, generator=torch.Generator().manual_seed(seed))
    return x.contiguous(memory_format=order)


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("counts", [(4, 4, 4, 4), (1, 1, 1, 1, 3), (1, 6, 2, 8)])
def test_past_and_new_frames_are_joined_to_the_bit(silu, order, counts):
    carry, held = CausalConvCache(), None
    norm = RMSNorm(5).requires_grad_(False)
    norm.gamma.copy_(torch.arange(5).view(5, 1, 1, 1) / 3)
    for seed, count in enumerate(counts):
        x = frames(seed, count, order)
        made = norm.silu(x) if silu else x
        expected = made if held is None else torch.cat([held, made], dim=2)
        joined = carry.join("layer", x, 2, norm.silu if silu else None)
        # A CPU's vector units round the ends of short runs differently, and each channel is one where channels
        # come first; convolutions here leave them last, where a frame is one run.
        last_bit = 1e-7 if silu and order == torch.contiguous_format else 0
        torch.testing.assert_close(joined, expected, atol=last_bit, rtol=last_bit)
        assert joined.is_contiguous(memory_format=order)
        assert torch.equal(carry.frames["layer"], joined[:, :, -2:])
        held = joined[:, :, -2:].clone()


def test_all_layers_of_a_stream_use_one_space_and_keep_their_own_past():
    carry, places = CausalConvCache(), set()
    first, second = (frames(seed, 12, torch.contiguous_format) for seed in (1, 2))
    for start in range(0, 12, 4):
        for layer, film in (("first", first), ("second", second)):
            joined = carry.join(layer, film[:, :, start : start + 4], 2)
            assert torch.equal(joined, film[:, :, max(start - 2, 0) : start + 4])
            places.add(joined.untyped_storage().data_ptr() if start else 0)
    assert len(places - {0}) == 1
