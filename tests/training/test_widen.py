"""Tests of the widening of a VAE."""

import torch

from lingbot_cli.model.vae import VAE, VAEConfig
from training.make_untrained import randomised
from training.widen import widen_vae


def test_a_widened_vae_encodes_and_decodes_as_the_narrow_one():
    torch.manual_seed(0)
    narrow = VAE(VAEConfig(dim=4, num_res_blocks=1))
    narrow.load_state_dict(randomised(narrow))
    config = VAEConfig(dim=4, num_res_blocks=1, dim_mult=(1, 4, 8, 8))
    wide = widen_vae(narrow.state_dict(), config, seed=0)
    video = torch.rand(1, 3, 9, 16, 16) * 2 - 1
    with torch.no_grad():
        latents, wide_latents = narrow.encode(video), wide.encode(video)
        assert (wide_latents - latents).abs().mean() < 0.1 * latents.std()
        assert (wide.decode(latents) - narrow.decode(latents)).abs().mean() < 0.1
