"""Widening of a VAE: the channels of a narrow one and new ones after them."""

import torch
from torch import Tensor

from lingbot_cli.model.vae import VAE, VAEConfig

_NEW_SCALE = 0.1  # scale of the new channels' weights relative to a new layer


def widen_vae(narrow: dict[str, Tensor], config: VAEConfig, seed: int) -> VAE:
    """Return a VAE of `config` from the weights of one with fewer channels.

    New channels have random inputs and no outputs, so the result is the narrow VAE but for the norms.
    """
    generator = torch.Generator().manual_seed(seed)
    vae = VAE(config)
    with torch.no_grad():
        for name, tensor in vae.state_dict().items():
            old = narrow[name].float() if name in narrow else _identity_shortcut(tensor)
            tensor.copy_(_grown(name, old, tensor, generator))
    return vae


def _identity_shortcut(shape: Tensor) -> Tensor:
    """Return a shortcut that the narrow VAE does not have: the identity."""
    identity = torch.zeros_like(shape)
    if shape.dim() > 1:
        identity[:, : len(shape)] = torch.eye(len(shape)).view(len(shape), -1, 1, 1, 1)
    return identity


def _grown(name: str, old: Tensor, shape: Tensor, generator: torch.Generator) -> Tensor:
    if old.shape == shape.shape:
        return old
    if name.endswith("gamma"):
        new = torch.ones_like(shape)
        new[: len(old)] = old * (len(old) / len(new)) ** 0.5  # RMSNorm scales by the root of its width
        return new
    parts = 3 if "to_qkv" in name else 2 if name.startswith("decoder") and "time_conv" in name else 1
    new = torch.zeros_like(shape)
    if old.dim() > 1:
        fan_in = new[0].numel()
        new = torch.randn(shape.shape, generator=generator) * _NEW_SCALE * fan_in**-0.5
        new[:, old.shape[1] :] = 0
    for ours, theirs in zip(new.chunk(parts), old.chunk(parts), strict=True):
        if old.dim() > 1:
            ours[: len(theirs), : theirs.shape[1]] = theirs
        else:
            ours[: len(theirs)] = theirs
    if "to_qkv" in name:
        wide, slim = len(new) // 3, len(old) // 3
        new[:wide] *= (wide / slim) ** 0.5  # attention divides by the root of its width
    return new
