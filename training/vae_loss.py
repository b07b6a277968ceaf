"""Initial weights, loss and PSNR of the VAE."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.model.vae_layers import CausalConv3d, Downsample, Upsample

CONFIG = VAEConfig(dim=16, num_res_blocks=1)
KL = 1e-4


def init_vae(seed: int) -> VAE:
    """Return an initial VAE that ignores past frames: an image VAE applied to every frame."""
    torch.manual_seed(seed)
    vae = VAE(CONFIG)
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, CausalConv3d | nn.Conv2d):
                now = module.weight[:, :, -1] if module.weight.dim() == 5 else module.weight
                fresh = torch.randn_like(now) * now[0].numel() ** -0.5
                module.weight.zero_()
                now.copy_(fresh)
                module.bias.zero_()
        for module in vae.modules():
            if isinstance(module, Downsample | Upsample) and module.time_conv is not None:
                now = module.time_conv.weight[:, :, -1, 0, 0]
                now.copy_(torch.eye(now.shape[1]).repeat(now.shape[0] // now.shape[1], 1))
    return vae


def as_video(pictures: Tensor) -> Tensor:
    """Convert uint8 [B, T, H, W, 3] to [B, 3, T, H, W] in −1…1, in channels-last format."""
    x = pictures.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last_3d)


def _edges(x: Tensor) -> Tensor:
    across, down = x.diff(dim=-1).abs().mean(), x.diff(dim=-2).abs().mean()
    return across + down


def loss(vae: VAE, video: Tensor, *, encoder_frozen: bool) -> Tensor:
    """Return L1 + 2·MSE + 0.5·L1 of the error's spatial gradients + KL, through one sample of the posterior."""
    with torch.autocast(video.device.type, dtype=torch.bfloat16):
        with torch.set_grad_enabled(not encoder_frozen):
            mean, log_variance = vae.moments(video)
        mean, log_variance = mean.float(), log_variance.float().clamp(-20, 6)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        shown = vae.decoder(vae.conv2(z, None), None)
    error = shown.float() - video
    kl = 0.5 * (mean * mean + log_variance.exp() - 1 - log_variance).mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * _edges(error) + KL * kl


@torch.no_grad()
def psnr(vae: VAE, pictures: Tensor) -> Tensor:
    """Return the PSNR in dB of every frame [T] over clips uint8 [N, T, H, W, 3], one clip at a time."""
    errors = []
    for clip in pictures:
        video = as_video(clip[None])
        with torch.autocast(video.device.type, dtype=torch.bfloat16):
            mean, _ = vae.moments(video)
            shown = vae.decoder(vae.conv2(mean, None), None)
        shown = ((shown.float().clamp(-1, 1) + 1) * 127.5).round() / 255
        errors.append(F.mse_loss(shown, (video + 1) / 2, reduction="none").mean(dim=(0, 1, 3, 4)))
    return -10 * torch.log10(torch.stack(errors).mean(0)).cpu()
