"""The VAE reproduces recorded tensors, in one pass and as a stream."""

import itertools

import pytest
import torch

from lingbot_cli.model.vae_layers import CausalConvCache
from tests.support.reference import CASES, recorded, tiny_vae


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_decode_equals_the_recorded_video(case):
    expected = recorded(case)
    video = tiny_vae().decode(expected["latents"][None])[0]
    assert (video - expected["video"]).abs().max() <= 1e-3


@pytest.mark.parametrize("cuts", [(1, 2, 5, 9), (3, 6, 9, 12), tuple(range(1, 15))])
def test_streamed_decode_equals_the_whole(cuts):
    latents = recorded(CASES[2])["latents"][None]
    bounds = (0, *cuts, latents.shape[2])
    carry = CausalConvCache()
    parts = [tiny_vae().decode(latents[:, :, a:b], carry) for a, b in itertools.pairwise(bounds)]
    torch.testing.assert_close(torch.cat(parts, 2), tiny_vae().decode(latents), atol=1e-5, rtol=0)


@pytest.mark.parametrize("cuts", [(1, 5, 13), (5, 25), tuple(range(1, 57, 4))])
def test_streamed_encode_equals_the_whole(cuts):
    video = recorded(CASES[2])["video"][None]
    bounds = (0, *cuts, video.shape[2])
    carry = CausalConvCache()
    parts = [tiny_vae().encode(video[:, :, a:b], carry) for a, b in itertools.pairwise(bounds)]
    torch.testing.assert_close(torch.cat(parts, 2), tiny_vae().encode(video), atol=1e-5, rtol=0)


def test_two_streams_in_turn_do_not_touch_each_other():
    latents = recorded(CASES[2])["latents"][None]
    mirrored = latents.flip(-1)
    first, second = CausalConvCache(), CausalConvCache()
    turns = [
        (tiny_vae().decode(a, first), tiny_vae().decode(b, second))
        for a, b in zip(latents.split(3, dim=2), mirrored.split(3, dim=2), strict=True)
    ]
    alone = CausalConvCache()
    for part, (turn, _) in zip(latents.split(3, dim=2), turns, strict=True):
        assert torch.equal(tiny_vae().decode(part, alone), turn)


def test_nothing_is_seen_beyond_the_memory():
    vae = tiny_vae()
    still = torch.zeros(1, 3, vae.config.encoder_receptive_field + 13, 16, 16)
    started = still.clone()
    started[:, :, 0] = 1.0
    latents = vae.encode(started)
    constant = vae.config.encoder_receptive_field // 4 + 1
    assert (latents[:, :, constant:] - latents[:, :, -1:]).abs().max() == 0
    assert (latents[:, :, constant - 1] - latents[:, :, -1]).abs().max() > 0


@torch.inference_mode()
def test_a_decoder_that_joins_late_gives_the_same_frames_once_its_reach_has_gone_by():
    vae, chunk, past = tiny_vae(), 3, -(-tiny_vae().config.decoder_receptive_field // 3)
    latents = torch.randn(1, 16, chunk * (past + 3), 4, 4, generator=torch.Generator().manual_seed(1))
    parts = latents.split(chunk, dim=2)
    whole, late = CausalConvCache(), CausalConvCache()
    early = [vae.decode(part, whole) for part in parts]
    joined = [vae.decode(part, late) for part in parts[1:]]
    assert joined[0].shape[2] == 9  # it takes its first latent for the film's
    assert torch.equal(early[-2], joined[-2])
    assert torch.equal(early[-1], joined[-1])
