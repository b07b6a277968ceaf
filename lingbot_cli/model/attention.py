"""Attention projections with the published parameter names; the caller chooses the visible keys."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

# Queries and keys, rotated, and values [B, N, heads, d] of one block's tokens → [B, N, heads, d].
AttentionFunction = Callable[[Tensor, Tensor, Tensor], Tensor]


def attend_all(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend from queries [B, N, heads, d] to all keys and values [B, M, heads, d], without a mask."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


class Attention(nn.Module):
    """Query, key, value and output projections; q and k are normalised over the whole width before the head split."""

    def __init__(self, dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = nn.RMSNorm(dim, eps=eps)
        self.norm_k = nn.RMSNorm(dim, eps=eps)

    def queries(self, x: Tensor) -> Tensor:
        """Return queries [B, N, heads, d] of tokens [B, N, dim]."""
        return self.norm_q(self.q(x)).unflatten(-1, (self.heads, -1))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values, each [B, N, heads, d], of tokens [B, N, dim]."""
        k = self.norm_k(self.k(x)).unflatten(-1, (self.heads, -1))
        return k, self.v(x).unflatten(-1, (self.heads, -1))

    def cross(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend from tokens [B, N, dim] to prepared keys and values [B, L, heads, d]."""
        return self.o(attend_all(self.queries(x), keys, values).flatten(2))
