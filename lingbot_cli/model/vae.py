"""Wan 2.1 causal video VAE: 8×8 pixels × 4 frames ↔ one latent cell of 16 channels (model §9)."""

import functools
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lingbot_cli.model.still_stream import StillStream
from lingbot_cli.model.vae_layers import (
    AttentionBlock,
    CausalConv3d,
    CausalConvCache,
    Downsample,
    ResidualBlock,
    RMSNorm,
    Upsample,
    name_temporal_layers,
)
from lingbot_cli.presets import Preset
from lingbot_cli.runtime.vae_memory import MAX_BATCH_PIXELS

LATENT_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
LATENT_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.916,
)  # fmt: skip


def default_latent_batch(height: int, width: int) -> int:
    """Return the number of latents per VAE pass: one for large videos, more for small ones.

    At 832×480 the feature maps of four latents take 10 GB; a stream of single latents gives the same numbers.
    """
    return max(1, MAX_BATCH_PIXELS // (4 * height * width))


@dataclass(frozen=True)
class VAEConfig:
    """Widths of a VAE, and the statistics that normalise its latents."""

    dim: int = 96
    z_dim: int = 16
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    decoder_mult: tuple[int, ...] | None = None  # None: the encoder's
    num_res_blocks: int = 2
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    latents_mean: tuple[float, ...] = LATENT_MEAN
    latents_std: tuple[float, ...] = LATENT_STD

    @classmethod
    def of(cls, preset: Preset) -> "VAEConfig":
        """Return the widths of a preset's VAE."""
        return cls(dim=preset.vae_dim, dim_mult=preset.vae_mult, num_res_blocks=preset.vae_blocks)

    @property
    def encoder_receptive_field(self) -> int:
        """Number of past video frames on which a latent can depend."""
        stride, frames = 1, 2
        for level in range(len(self.dim_mult)):
            frames += 4 * self.num_res_blocks * stride
            if level < len(self.temporal_downsample) and self.temporal_downsample[level]:
                frames += 2 * stride
                stride *= 2
        return frames + (8 + 2) * stride

    @property
    def decoder_receptive_field(self) -> int:
        """Number of past latents on which a decoded video frame can depend."""
        # In video frames: two past frames per convolution, four convolutions in the middle blocks.
        stride = 2 ** sum(self.temporal_downsample)
        frames = (2 + 2 * 4) * stride
        for temporal in (*self.temporal_downsample[::-1], False):
            frames += 4 * (self.num_res_blocks + 1) * stride
            if temporal:
                frames += 2 * stride
                stride //= 2
        return -(-(frames + 2) // 2 ** sum(self.temporal_downsample)) + 1


class Encoder(nn.Module):
    """Convolutions from pixels [B, 3, T, H, W] to moments [B, 2·z, F, H/8, W/8]."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.dim * m for m in (1, *config.dim_mult)]
        self.conv1 = CausalConv3d(3, widths[0], 3)
        layers: list[nn.Module] = []
        for level, (narrow, wide) in enumerate(itertools.pairwise(widths)):
            for block in range(config.num_res_blocks):
                layers.append(ResidualBlock(narrow if block == 0 else wide, wide))
            if level < len(config.dim_mult) - 1:
                layers.append(Downsample(wide, temporal=config.temporal_downsample[level]))
        self.downsamples = nn.ModuleList(layers)
        self._at_last_level = config.num_res_blocks
        self.middle = _middle(widths[-1])
        self.head = nn.ModuleList(
            [RMSNorm(widths[-1]), nn.SiLU(), CausalConv3d(widths[-1], 2 * config.z_dim, 3)]
        )

    def forward(self, x: Tensor, cache: CausalConvCache | None) -> Tensor:
        fine = (self.conv1, *self.downsamples[: -self._at_last_level])
        for layer in fine:
            x = cache.run(layer, x) if isinstance(cache, StillStream) else layer(x, cache)
        # The last level is cheap, and computed for all frames: on CPUs its last bits vary with their number.
        for layer in (*self.downsamples[-self._at_last_level :], *self.middle):
            x = layer(x, cache)
        return self.head[2](x, cache, self.head[0].silu)


class Decoder(nn.Module):
    """Convolutions from latents [B, z, F, h, w] to pixels [B, 3, T, 8h, 8w]."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        mult = (config.decoder_mult or config.dim_mult)[::-1]
        widths = [config.dim * m for m in (mult[0], *mult)]
        temporal = config.temporal_downsample[::-1]
        self.conv1 = CausalConv3d(config.z_dim, widths[0], 3)
        self.middle = _middle(widths[0])
        layers: list[nn.Module] = []
        for level, (before, width) in enumerate(itertools.pairwise(widths)):
            before = before // 2 if level > 0 else before  # the upsampling before it halved the width
            for block in range(config.num_res_blocks + 1):
                layers.append(ResidualBlock(before if block == 0 else width, width))
            if level < len(mult) - 1:
                layers.append(Upsample(width, temporal=temporal[level]))
        self.upsamples = nn.ModuleList(layers)
        self.head = nn.ModuleList([RMSNorm(widths[-1]), nn.SiLU(), CausalConv3d(widths[-1], 3, 3)])

    def forward(self, x: Tensor, cache: CausalConvCache | None) -> Tensor:
        x = self.conv1(x, cache)
        for layer in (*self.middle, *self.upsamples):
            x = layer(x, cache)
        return self.head[2](x, cache, self.head[0].silu)


def _middle(width: int) -> nn.ModuleList:
    return nn.ModuleList([ResidualBlock(width, width), AttentionBlock(width), ResidualBlock(width, width)])


class VAE(nn.Module):
    """Encoder and decoder with the published parameter names; it keeps no state between calls.

    A whole clip needs no cache. A stream passes one `CausalConvCache` to every call: the first call encodes frame
    0 and any number of groups of four frames, later ones whole groups; each decodes any number of latents. Both
    ways give the same numbers.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.conv1 = CausalConv3d(2 * config.z_dim, 2 * config.z_dim, 1)
        self.conv2 = CausalConv3d(config.z_dim, config.z_dim, 1)
        self.decoder = Decoder(config)
        name_temporal_layers(self)
        for part in (self.encoder, self.conv1):  # the order of sums in which videos were recorded
            for layer in part.modules():
                if isinstance(layer, CausalConv3d):
                    layer.by_frame = True

    def moments(self, video: Tensor, cache: CausalConvCache | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance [B, z, F, h, w] of the posterior over raw latents, for video in −1…1."""
        mean, log_variance = self.conv1(self.encoder(video, cache), None).chunk(2, dim=1)
        return mean, log_variance

    def encode(self, video: Tensor, cache: CausalConvCache | None = None) -> Tensor:
        """Encode video [B, 3, T, H, W] in −1…1 to normalised latents [B, z, F, H/8, W/8], F = 1 + (T−1)/4."""
        raw, _ = self.moments(video, cache)
        mean, std = self._statistics(raw)
        return (raw - mean) / std

    @property
    def decode_device(self) -> torch.device:
        """The decoder's device, which may differ from the encoder's."""
        return self.conv2.weight.device

    @property
    def decoder_receptive_field(self) -> int:
        """Number of past latents on which a decoded video frame can depend."""
        return self.config.decoder_receptive_field

    def decode(self, latents: Tensor, cache: CausalConvCache | None = None) -> Tensor:
        """Decode normalised latents [B, z, F, h, w] to video [B, 3, T, 8h, 8w] in −1…1, on the decoder's device."""
        weight = self.conv2.weight
        latents = latents.to(weight.device)
        mean, std = self._statistics(latents)
        raw = (latents * std + mean).to(weight.dtype)
        return self.decoder(self.conv2(raw, None), cache).clamp(-1, 1)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return _statistics(self.config.latents_mean, self.config.latents_std, like.dtype, like.device)


def denormalise(latents: Tensor) -> Tensor:
    """Return the raw latents of normalised ones [B, z, F, h, w], by the published mean and standard deviation."""
    mean, std = _statistics(LATENT_MEAN, LATENT_STD, latents.dtype, latents.device)
    return latents * std + mean


@functools.cache
def _statistics(
    mean: tuple[float, ...], std: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return mean and deviation as [1, C, 1, 1, 1], copied to a device only once: that copy blocks the host."""
    with torch.inference_mode(False):
        both = torch.tensor((mean, std), dtype=dtype, device=device).view(2, 1, -1, 1, 1, 1)
    return both[0], both[1]
