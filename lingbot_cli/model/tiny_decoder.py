"""Tiny decoder of Wan 2.1 latents for previews: `taew2_1` of TAEHV, with its published parameter names."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_cli.model.vae import denormalise
from lingbot_cli.model.vae_layers import CausalConvCache

WIDTHS = (256, 128, 64, 64)
FIRST_LATENT_EXTRA_FRAMES = 3
"""Frames to drop: every latent decodes to four frames, but Wan's first latent is one, the last of its four."""


class MemoryBlock(nn.Module):
    """Three convolutions over a frame and its predecessor (zeros before the first), with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Positions 1 and 3 hold modules without weights, so that names match the published ones.
        first, second, third = (
            _conv(2 * channels, channels),
            _conv(channels, channels),
            _conv(channels, channels),
        )
        self.conv = nn.ModuleList([first, nn.ReLU(), second, nn.ReLU(), third])

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        first, _, second, _, third = self.conv
        y = F.relu(first(torch.cat([x, torch.cat([before, x[:-1]])], dim=1)))
        return F.relu(third(F.relu(second(y))) + x)


class TemporalUpsample(nn.Module):
    """A 1×1 convolution whose output channels become `times` frames."""

    def __init__(self, channels: int, times: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, times * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).reshape(-1, *x.shape[1:])


class TinyDecoder(nn.Module):
    """A decoder without attention and 3D convolutions; it keeps no state between calls.

    `raw_latents`: it was trained on latents before normalisation (`lighttaew2_1`).
    """

    decoder_receptive_field = 8
    """Past latents on which a frame can depend: six blocks look back one latent each, three half of one."""

    def __init__(self, *, raw_latents: bool = False) -> None:
        super().__init__()
        self.raw_latents = raw_latents
        layers: list[nn.Module] = [nn.Identity(), _conv(16, WIDTHS[0]), nn.ReLU()]
        for width, narrower, times in zip(WIDTHS[:-1], WIDTHS[1:], (1, 2, 2), strict=True):
            layers += [MemoryBlock(width) for _ in range(3)]
            layers += [
                nn.Upsample(scale_factor=2.0),
                TemporalUpsample(width, times),
                _conv(width, narrower, bias=False),
            ]
        self.decoder = nn.ModuleList([*layers, nn.ReLU(), _conv(WIDTHS[-1], 3)])

    @property
    def decode_device(self) -> torch.device:
        """The decoder's device."""
        return next(self.parameters()).device

    def decode(self, latents: Tensor, cache: CausalConvCache | None = None) -> Tensor:
        """Decode normalised latents [1, 16, f, h, w] to video [1, 3, T, 8h, 8w] in −1…1, as `VAE.decode`."""
        if self.raw_latents:
            latents = denormalise(latents)
        x = latents[0].transpose(0, 1).to(next(self.parameters()))  # also to its device
        first = cache is None or not cache.started("tiny")
        x = torch.tanh(x / 3) * 3  # compresses values beyond the usual range
        for index, layer in enumerate(self.decoder):
            if isinstance(layer, MemoryBlock):
                past = None if cache is None else cache.frames.get(f"tiny.{index}")
                if cache is not None:
                    cache.frames[f"tiny.{index}"] = x[-1:].clone()
                x = layer(x, torch.zeros_like(x[:1]) if past is None else past)
            else:
                x = layer(x)
        if cache is not None:
            cache.frames["tiny"] = x[:0]  # marks that the first latent has passed
        x = x[FIRST_LATENT_EXTRA_FRAMES:] if first else x
        return (x.clamp(0, 1) * 2 - 1).transpose(0, 1)[None]


def _conv(channels_in: int, channels_out: int, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=bias)
