"""A transformer larger than its device: blocks wait in host memory and pass through two places on the device."""

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from lingbot_cli.model.transformer import Transformer


class StreamedBlocks(nn.ModuleList):
    """Blocks that are on the device while they are iterated over: one runs, the next arrives.

    Every use of a transformer's blocks is a loop over them, so nothing else need know.
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
            place = self._prefetch(index, avoid=None)
            if (arrived := self._copied[place]) is not None:
                torch.cuda.current_stream().wait_event(arrived)
            _set_parameters(block, self._slots[place])
            self._prefetch((index + 1) % len(self), avoid=place)
            try:
                yield block
            finally:
                if (left := self._released[place]) is not None:
                    left.record(torch.cuda.current_stream())
                _set_parameters(block, self._host[index])

    def _prefetch(self, index: int, avoid: int | None) -> int:
        """Have a block's weights on the device, or on their way there, in a place other than `avoid`."""
        if index in self._slot_block:
            return self._slot_block.index(index)
        place = next(spot for spot in range(len(self._slots)) if spot != avoid)
        with torch.cuda.stream(self._copies) if self._cuda else nullcontext():
            if self._copies is not None and (left := self._released[place]) is not None:
                self._copies.wait_event(left)  # whoever computes with the old weights is done first
            for name, tensor in self._slots[place].items():
                tensor.copy_(self._host[index][name], non_blocking=True)
            if self._copies is not None and (arrived := self._copied[place]) is not None:
                arrived.record(self._copies)
        self._slot_block[place] = index
        return place

    def _to_host(self, tensor: Tensor) -> Tensor:
        """Page-locked, so that a copy to the GPU runs beside the computation."""
        return tensor.cpu().pin_memory() if self._cuda else tensor.cpu()


def offload(transformer: Transformer, device: torch.device) -> None:
    """Let a transformer's blocks, which lie in host memory, stream through `device`."""
    transformer.blocks = StreamedBlocks(transformer.blocks, device)


def _set_parameters(block: nn.Module, tensors: dict[str, Tensor]) -> None:
    for name, parameter in block.named_parameters():
        parameter.data = tensors[name]
