"""Offload of the transformer's blocks to host memory: they stream through two slots on the device."""

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from lingbot_cli.model.transformer import Transformer


class StreamedBlocks(nn.ModuleList):
    """Blocks that are on the device only while iterated over: one computes while the next is copied.

    Every use of a transformer's blocks is a loop over them, so no other code needs to know.
    """

    def __init__(self, blocks: nn.ModuleList, device: torch.device) -> None:
        super().__init__(blocks)
        self._cuda = device.type == "cuda"
        self._host = [
            {name: self._to_host(p.data) for name, p in block.named_parameters()} for block in blocks
        ]
        self._slots = [
            {name: torch.empty_like(tensor, device=device) for name, tensor in self._host[0].items()}
            for _ in range(min(2, len(blocks)))
        ]
        self._slot_block: list[int | None] = [None] * len(self._slots)
        self._copies = torch.cuda.Stream(device) if self._cuda else None
        self._copied = [torch.cuda.Event() if self._cuda else None for _ in self._slots]
        self._released = [torch.cuda.Event() if self._cuda else None for _ in self._slots]
        for block, host in zip(blocks, self._host, strict=True):
            _set_parameters(block, host)

    def __iter__(self) -> Iterator[nn.Module]:
        for index, block in enumerate(super().__iter__()):
            slot = self._prefetch(index, avoid=None)
            if (copied := self._copied[slot]) is not None:
                torch.cuda.current_stream().wait_event(copied)
            _set_parameters(block, self._slots[slot])
            self._prefetch((index + 1) % len(self), avoid=slot)
            try:
                yield block
            finally:
                if (released := self._released[slot]) is not None:
                    released.record(torch.cuda.current_stream())
                _set_parameters(block, self._host[index])

    def _prefetch(self, index: int, avoid: int | None) -> int:
        """Start the copy of a block into a slot other than `avoid`, unless it is in one; return its slot."""
        if index in self._slot_block:
            return self._slot_block.index(index)
        slot = next(other for other in range(len(self._slots)) if other != avoid)
        with torch.cuda.stream(self._copies) if self._cuda else nullcontext():
            if self._copies is not None and (released := self._released[slot]) is not None:
                self._copies.wait_event(released)  # until the computation with the old weights is done
            for name, tensor in self._slots[slot].items():
                tensor.copy_(self._host[index][name], non_blocking=True)
            if self._copies is not None and (copied := self._copied[slot]) is not None:
                copied.record(self._copies)
        self._slot_block[slot] = index
        return slot

    def _to_host(self, tensor: Tensor) -> Tensor:
        """Copy a tensor to host memory, page-locked for copies that overlap the GPU's computation."""
        return tensor.cpu().pin_memory() if self._cuda else tensor.cpu()


def offload(transformer: Transformer, device: torch.device) -> None:
    """Stream a transformer's blocks, which are in host memory, through `device`."""
    transformer.blocks = StreamedBlocks(transformer.blocks, device)


def _set_parameters(block: nn.Module, tensors: dict[str, Tensor]) -> None:
    for name, parameter in block.named_parameters():
        parameter.data = tensors[name]
