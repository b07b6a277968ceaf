"""Faster CPU training: compiled norms and unfused attention, with the same results."""

import torch
from torch import Tensor

from lingbot_cli.model import attention
from lingbot_cli.model.vae_layers import RMSNorm


def _norm(x: Tensor, gamma: Tensor) -> Tensor:
    wide = x.float()
    length = wide.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-12)
    return (wide / length * (x.shape[-1] ** 0.5) * gamma).to(x.dtype)


def fuse_norms() -> None:
    """Compile every `RMSNorm` of this process; results are equal to rounding."""
    compiled = torch.compile(_norm, dynamic=True)

    def forward(self: RMSNorm, x: Tensor) -> Tensor:
        rows = x.movedim(1, -1)
        flat = rows.reshape(-1, x.shape[1])
        return compiled(flat, self.gamma.flatten()).view(rows.shape).movedim(-1, 1)

    RMSNorm.forward = forward  # type: ignore[method-assign]


def unfused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention [B, N, heads, d] without the fused kernel, whose backward is five times as slow on a CPU."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return (weights.softmax(-1).to(v.dtype) @ v).transpose(1, 2)


def use_unfused_attention() -> None:
    """Use `unfused_attention` for cross-attention in this process."""
    attention.attend_all = unfused_attention
