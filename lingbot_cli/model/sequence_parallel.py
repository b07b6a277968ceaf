"""One film on several devices: tokens are split, and for self-attention exchanged for heads (Ulysses).

Each process holds all weights and computes its share of a chunk's tokens. Before self-attention an
all-to-all trades tokens for heads, so that each process attends over all tokens with its share of the heads
and keeps only those heads' keys and values; a second one trades back (Jacobs et al., DeepSpeed-Ulysses, 2023).
"""

import torch
import torch.distributed as dist
from torch import Tensor

from lingbot_cli.errors import UsageError
from lingbot_cli.model.part import pad_tokens


class Ulysses:
    """This process's part among all processes of the default group."""

    def __init__(self, heads: int) -> None:
        """Refuses a number of processes that does not divide the number of heads."""
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        if heads % self.size:
            fit = [str(n) for n in range(1, heads + 1) if heads % n == 0]
            raise UsageError(
                f"{heads} attention heads cannot be shared among {self.size} devices",
                hint=f"use {', '.join(fit)}",
            )

    def shard(self, tokens: Tensor) -> Tensor:
        share = self._share(tokens.shape[1])
        return pad_tokens(tokens, share * self.size)[:, self.rank * share : (self.rank + 1) * share]

    def gather(self, own: Tensor, count: int) -> Tensor:
        gathered = own.new_empty(self.size, *own.shape)
        dist.all_gather(list(gathered), own.contiguous())
        return gathered.movedim(0, 1).flatten(1, 2)[:, :count]

    def to_heads(self, parts: list[Tensor], count: int) -> list[Tensor]:
        x = (
            torch.stack(parts).unflatten(3, (self.size, -1)).movedim(3, 0)
        )  # [size, parts, B, n, heads/size, d]
        x = self._exchange(x).permute(1, 2, 0, 3, 4, 5).flatten(2, 3)[:, :, :count]
        return list(x)

    def to_tokens(self, x: Tensor) -> Tensor:
        share = self._share(x.shape[1])
        x = pad_tokens(x, share * self.size).unflatten(1, (self.size, share)).movedim(1, 0)
        return self._exchange(x).permute(1, 2, 0, 3, 4).flatten(2, 3)

    def _share(self, count: int) -> int:
        return -(-count // self.size)

    def _exchange(self, x: Tensor) -> Tensor:
        """Send x[i] to process i; what comes back is ordered by sender."""
        x = x.contiguous()
        received = torch.empty_like(x)
        dist.all_to_all_single(received, x)
        return received
