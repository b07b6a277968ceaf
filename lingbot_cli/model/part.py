"""Which part of a chunk's tokens this process works on; alone, all of them."""

from typing import Protocol

import torch
from torch import Tensor


class SequenceParallel(Protocol):
    """How one chunk's tokens are shared among processes; `size` processes, this one is `rank`."""

    rank: int
    size: int

    def shard(self, tokens: Tensor) -> Tensor:
        """This process's tokens [B, n, C] of all tokens [B, N, C]."""

    def gather(self, own: Tensor, count: int) -> Tensor:
        """All `count` tokens [B, N, C] from every process's own [B, n, C]; the same bits everywhere."""

    def to_heads(self, parts: list[Tensor], count: int) -> list[Tensor]:
        """Own tokens of all heads, each [B, n, heads, d], to all tokens of own heads [B, N, heads/size, d]."""

    def to_tokens(self, x: Tensor) -> Tensor:
        """All tokens of own heads [B, N, heads/size, d] back to own tokens of all heads [B, n, heads, d]."""


class SingleProcess:
    """One process: everything is its own."""

    rank = 0
    size = 1

    def shard(self, tokens: Tensor) -> Tensor:
        return tokens

    def gather(self, own: Tensor, count: int) -> Tensor:  # noqa: ARG002 - nothing was padded
        return own

    def to_heads(self, parts: list[Tensor], count: int) -> list[Tensor]:  # noqa: ARG002 - nothing was padded
        return parts

    def to_tokens(self, x: Tensor) -> Tensor:
        return x


SINGLE_PROCESS = SingleProcess()


def pad_tokens(x: Tensor, count: int) -> Tensor:
    """Zeros after the tokens x [B, N, …] until there are `count`."""
    if x.shape[1] == count:
        return x
    return torch.cat([x, x.new_zeros(x.shape[0], count - x.shape[1], *x.shape[2:])], dim=1)
