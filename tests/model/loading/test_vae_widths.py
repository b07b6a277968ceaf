"""Tests of the inference of a VAE's widths from its tensors."""

import torch

from lingbot_cli.model.loading.load_vae import infer_vae_config
from lingbot_cli.model.vae import VAE, VAEConfig


def test_multipliers_of_encoder_and_decoder_are_inferred():
    config = VAEConfig(dim=4, num_res_blocks=1, dim_mult=(1, 3, 4, 6), decoder_mult=(1, 4, 8, 8))
    with torch.device("meta"):
        tensors = VAE(config).state_dict()
    inferred = infer_vae_config(tensors)
    assert (inferred.dim, inferred.num_res_blocks) == (4, 1)
    assert (inferred.dim_mult, inferred.decoder_mult) == ((1, 3, 4, 6), (1, 4, 8, 8))
