"""The alignment of a VAE with another's latents."""

import torch

from lingbot_cli.model.vae_layers import CausalConv3d
from training.align_vae import LeastSquares


def test_least_squares_find_the_causal_convolution_of_samples():
    torch.manual_seed(0)
    layer = CausalConv3d(3, 5, 3)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    found = LeastSquares()
    for frames in (1, 6):
        x = torch.randn(2, 3, frames, 12, 10)
        with torch.no_grad():
            found.add(x, layer(x, None))
    weight, bias = found.solve()
    assert torch.allclose(weight, layer.weight, atol=2e-3)
    assert torch.allclose(bias, layer.bias, atol=2e-3)
