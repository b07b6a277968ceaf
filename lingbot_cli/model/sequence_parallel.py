"""Sequence parallelism: tokens are split among processes and exchanged for heads around self-attention (Ulysses).

Each process holds all weights and computes its share of a chunk's tokens. Before self-attention an all-to-all
exchanges tokens for heads: each process attends over all tokens with its share of the heads and caches only
those heads' keys and values. A second one exchanges back (Jacobs et al., DeepSpeed-Ulysses, 2023).
"""

import torch
import torch.distributed as dist
from torch import Tensor

from lingbot_cli.model.process_group import exchanging
from lingbot_cli.presets import check_heads


class SequenceParallel:
    """The split of a chunk's tokens among `size` processes; this one is `rank`. Here: all in one process."""

    rank = 0
    size = 1

    def shard(self, tokens: Tensor) -> Tensor:
        """Return this process's tokens [B, n, C] of all tokens [B, N, C]."""
        return tokens

    def gather(self, own: Tensor, count: int) -> Tensor:  # noqa: ARG002 - nothing was padded
        """Return all `count` tokens [B, N, C] from every process's [B, n, C]; the same bits in every process."""
        return own

    def to_heads(self, parts: list[Tensor], count: int) -> list[Tensor]:  # noqa: ARG002 - nothing was padded
        """Exchange own tokens, each [B, n, heads, d], for all tokens of own heads [B, N, heads/size, d]."""
        return parts

    def to_tokens(self, x: Tensor) -> Tensor:
        """Exchange all tokens of own heads [B, N, heads/size, d] for own tokens [B, n, heads, d]."""
        return x


SINGLE_PROCESS = SequenceParallel()


class Ulysses(SequenceParallel):
    """This process's share among all processes of the default process group."""

    def __init__(self, heads: int) -> None:
        """Errors: UsageError for a number of processes that does not divide the number of heads."""
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        check_heads(heads, self.size)

    def shard(self, tokens: Tensor) -> Tensor:
        share = -(-tokens.shape[1] // self.size)
        return _pad_tokens(tokens, share * self.size)[:, self.rank * share : (self.rank + 1) * share]

    def gather(self, own: Tensor, count: int) -> Tensor:
        gathered = own.new_empty(self.size, *own.shape)
        with exchanging():
            dist.all_gather(list(gathered), own.contiguous())
        return gathered.movedim(0, 1).flatten(1, 2)[:, :count]

    def to_heads(self, parts: list[Tensor], count: int) -> list[Tensor]:
        # [size, parts, B, n, heads/size, d]
        x = torch.stack(parts).unflatten(3, (self.size, -1)).movedim(3, 0)
        x = self._exchange(x).permute(1, 2, 0, 3, 4, 5).flatten(2, 3)[:, :, :count]
        return list(x)

    def to_tokens(self, x: Tensor) -> Tensor:
        share = -(-x.shape[1] // self.size)
        x = _pad_tokens(x, share * self.size).unflatten(1, (self.size, share)).movedim(1, 0)
        return self._exchange(x).permute(1, 2, 0, 3, 4).flatten(2, 3)

    def _exchange(self, x: Tensor) -> Tensor:
        """Send x[i] to process i; the result is ordered by sender."""
        x = x.contiguous()
        received = torch.empty_like(x)
        with exchanging():
            dist.all_to_all_single(received, x)
        return received


def _pad_tokens(x: Tensor, count: int) -> Tensor:
    """Append zeros to tokens x [B, N, …] up to `count`."""
    if x.shape[1] == count:
        return x
    return torch.cat([x, x.new_zeros(x.shape[0], count - x.shape[1], *x.shape[2:])], dim=1)
