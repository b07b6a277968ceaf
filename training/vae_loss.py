"""Initial weights, loss and PSNR of the VAE."""

from typing import cast

import torch
from torch import Tensor, nn

from lingbot_cli.model.vae import LATENT_MEAN, LATENT_STD, VAE, VAEConfig
from lingbot_cli.model.vae_layers import AttentionBlock, CausalConv3d, Downsample, ResidualBlock, Upsample
from training.edges import edge_loss

CONFIG = VAEConfig(dim=16, num_res_blocks=1, dim_mult=(1, 4, 8, 8))
DRAFT_CONFIG = VAEConfig(dim=16, num_res_blocks=1)
KL = 1e-4
EDGE_WEIGHT = 0.03
LATENT_NOISE = 0.08  # highest, as a share of the latents' deviation: the transformer's are never exact
_RESIDUAL_SCALE = 0.2  # of the initial last convolution of a residual block


def restored_vae(weights: dict[str, Tensor]) -> VAE:
    """Return the VAE, or draft VAE, of trained weights."""
    vae = VAE(
        CONFIG if len(weights["encoder.head.0.gamma"]) == CONFIG.dim * CONFIG.dim_mult[-1] else DRAFT_CONFIG
    )
    vae.load_state_dict(weights)
    return vae


def init_vae(seed: int, config: VAEConfig) -> VAE:
    """Return an initial VAE that ignores past frames: an image VAE applied to every frame."""
    torch.manual_seed(seed)
    vae = VAE(config)
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, CausalConv3d | nn.Conv2d):
                now = module.weight[:, :, -1] if module.weight.dim() == 5 else module.weight
                fresh = torch.randn_like(now) * now[0].numel() ** -0.5
                module.weight.zero_()
                now.copy_(fresh)
                cast(Tensor, module.bias).zero_()
        for module in vae.modules():
            if isinstance(module, Downsample | Upsample) and module.time_conv is not None:
                now = module.time_conv.weight[:, :, -1, 0, 0]
                now.copy_(torch.eye(now.shape[1]).repeat(now.shape[0] // now.shape[1], 1))
            if isinstance(module, ResidualBlock):
                cast(Tensor, module.residual[6].weight).mul_(_RESIDUAL_SCALE)
            if isinstance(module, AttentionBlock):
                module.proj.weight.zero_()
    return vae


def as_video(pictures: Tensor) -> Tensor:
    """Convert uint8 [B, T, H, W, 3] to [B, 3, T, H, W] in −1…1, in channels-last format."""
    x = pictures.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last_3d)


def _edges(x: Tensor) -> Tensor:
    across, down = x.diff(dim=-1).abs().mean(), x.diff(dim=-2).abs().mean()
    return across + down


def sample_reconstruction(vae: VAE, video: Tensor) -> tuple[Tensor, Tensor]:
    """Return a video decoded from one sample of the posterior, with some more noise, and the posterior's KL."""
    with torch.autocast(video.device.type, dtype=torch.bfloat16):
        mean, log_variance = vae.moments(video)
        mean, log_variance = mean.float(), log_variance.float().clamp(-20, 6)
        spread = mean.detach().std(dim=(0, 2, 3, 4), keepdim=True)
        share = LATENT_NOISE * torch.rand(len(mean), 1, 1, 1, 1, device=mean.device)
        deviation = (log_variance.exp() + (share * spread).square()).sqrt()
        z = mean + torch.randn_like(mean) * deviation
        made = vae.decoder(vae.conv2(z, None), None).float()
    return made, 0.5 * (mean * mean + log_variance.exp() - 1 - log_variance).mean()


def reconstruction_loss(made: Tensor, video: Tensor) -> Tensor:
    """Return L1 + 2·MSE + 0.5·L1 of the error's spatial gradients + 0.03·`edge_loss`."""
    error = made - video
    pixels = error.abs().mean() + 2 * error.square().mean()
    return pixels + 0.5 * _edges(error) + EDGE_WEIGHT * edge_loss(made, video)


def fold(weights: dict[str, Tensor], mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """Return an equivalent VAE whose raw latents have the published mean and standard deviation.

    `mean` and `std` [16] are those of its current raw latents; the 1×1×1 convolutions absorb the difference.
    """
    out = {name: tensor.clone() for name, tensor in weights.items()}
    gain = torch.tensor(LATENT_STD) / std
    shift = torch.tensor(LATENT_MEAN) - gain * mean
    channels = len(gain)
    wide = gain[:, None, None, None, None]
    out["conv1.weight"][:channels] *= wide
    out["conv1.bias"][:channels] = out["conv1.bias"][:channels] * gain + shift
    out["conv1.bias"][channels:] += 2 * gain.log()
    back = weights["conv2.weight"][:, :, 0, 0, 0] / gain
    out["conv2.weight"] = back[:, :, None, None, None]
    out["conv2.bias"] = weights["conv2.bias"] - back @ shift
    return out


@torch.no_grad()
def reconstruct(vae: VAE, pictures: Tensor) -> Tensor:
    """Encode and decode clips uint8 [N, T, H, W, 3], one at a time."""
    decoded = []
    for clip in pictures:
        video = as_video(clip[None])
        with torch.autocast(video.device.type, dtype=torch.bfloat16):
            mean, _ = vae.moments(video)
            made = vae.decoder(vae.conv2(mean, None), None)
        decoded.append(((made[0].float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 3, 0))
    return torch.stack(decoded)


def psnr(made: Tensor, truth: Tensor) -> Tensor:
    """Return the PSNR in dB of every frame [T] over clips uint8 [N, T, H, W, 3]."""
    error = (made.float() - truth.float()) / 255
    return -10 * torch.log10(error.square().mean(dim=(0, 2, 3, 4))).cpu()
