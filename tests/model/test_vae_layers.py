"""Convolutions of the VAE equal PyTorch's own, computed in the plain way."""

import pytest
import torch
import torch.nn.functional as F

from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.model.vae_convolution import conv2d_doubled, conv3d, conv3d_by_frame


@pytest.mark.parametrize(
    ("kernel", "padding", "stride"), [((3, 3, 3), 1, 1), ((3, 1, 1), 0, 2), ((1, 1, 1), 0, 1)]
)
@pytest.mark.parametrize("frames", [3, 9])
@pytest.mark.parametrize("outputs", [3, 40])
def test_by_frames_equals_the_whole(kernel, padding, stride, frames, outputs):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, frames, 6, 10, generator=generator)
    weight = torch.randn(outputs, 4, *kernel, generator=generator)
    bias = torch.randn(outputs, generator=generator)
    whole = F.conv3d(x, weight, bias, padding=(0, padding, padding), stride=(stride, 1, 1))
    for made in (conv3d_by_frame, conv3d, torch.inference_mode()(conv3d)):
        part = made(x, weight, bias, padding=(padding, padding), stride=stride)
        torch.testing.assert_close(part, whole, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (6, 10), (7, 3)])
def test_a_convolution_of_a_doubled_image_needs_no_doubled_image(size):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, *size, generator=generator)
    weight, bias = torch.randn(5, 4, 3, 3, generator=generator), torch.randn(5, generator=generator)
    whole = F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest-exact"), weight, bias, padding=1)
    torch.testing.assert_close(conv2d_doubled(x, weight, bias), whole, atol=1e-4, rtol=1e-5)


def test_the_encoder_sums_by_frame_in_the_order_of_recorded_latents():
    layers = [
        (name, m.by_frame) for name, m in VAE(VAEConfig(dim=8)).named_modules() if hasattr(m, "by_frame")
    ]
    assert {by_frame for name, by_frame in layers if name.startswith(("encoder.", "conv1"))} == {True}
    assert {by_frame for name, by_frame in layers if name.startswith(("decoder.", "conv2"))} == {False}


def test_other_types_take_the_backend_as_it_is():
    x = torch.ones(1, 4, 3, 4, 4, dtype=torch.bfloat16)
    weight, bias = torch.ones(4, 4, 3, 3, 3, dtype=torch.bfloat16), torch.zeros(4, dtype=torch.bfloat16)
    assert conv3d(x, weight, bias, padding=(1, 1)).shape == (1, 4, 1, 4, 4)
