"""Offload of the transformer's blocks to host memory: they stream through two slots on the device."""

import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lingbot_cli.errors import SetupError
from lingbot_cli.model.transformer import Transformer

ALIGNMENT_BYTES = 256
"""Alignment of a tensor in its block's buffer, as of a tensor that PyTorch allocates on a GPU."""
_REGISTER_DEFAULT = 0
"""cudaHostRegisterDefault of the CUDA runtime."""


@dataclass(frozen=True)
class BlockLayout:
    """Place of each tensor of a block in one flat buffer of `size` bytes: its first byte, type and shape."""

    places: dict[str, tuple[int, torch.dtype, torch.Size]]
    size: int

    @classmethod
    def of(cls, block: nn.Module) -> "BlockLayout":
        """Return the layout of a block on any device; blocks of packed weights may differ."""
        places, end = {}, 0
        for name, parameter in block.named_parameters():
            places[name] = end, parameter.dtype, parameter.shape
            end += -(-parameter.nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        return cls(places, end)

    def views(self, buffer: Tensor) -> dict[str, nn.Parameter]:
        """Return the parameters of a buffer [size] uint8 by name; they share its memory."""
        return {
            name: nn.Parameter(
                buffer[start : start + shape.numel() * dtype.itemsize].view(dtype).view(shape), False
            )
            for name, (start, dtype, shape) in self.places.items()
        }


class HostBlocks:
    """Host memory of a transformer's blocks: a flat buffer for each, page-locked for copies to a GPU.

    The buffers are locked in place: PyTorch's own page-locked memory is rounded up to a power of two, which is half
    as much again for a block of 0.9 GB and needs a second copy of the weights while it is filled.
    """

    def __init__(self, transformer: Transformer, device: torch.device) -> None:
        """`transformer` is on the meta device. Errors: SetupError if memory cannot be locked."""
        self.layouts = [BlockLayout.of(block) for block in transformer.blocks]
        self.buffers = [torch.empty(layout.size, dtype=torch.uint8) for layout in self.layouts]
        if device.type == "cuda":
            for buffer in self.buffers:
                self._page_lock(buffer, device)
        self.tensors = [
            layout.views(buffer) for layout, buffer in zip(self.layouts, self.buffers, strict=True)
        ]

    def tensor(self, name: str) -> Tensor | None:
        """Return the memory of a parameter by its name in the transformer; None outside the blocks."""
        kind, _, rest = name.partition(".")
        if kind != "blocks":
            return None
        index, _, inner = rest.partition(".")
        return self.tensors[int(index)][inner]

    def _page_lock(self, buffer: Tensor, device: torch.device) -> None:
        runtime = torch.cuda.cudart()
        with torch.cuda.device(device):
            code = int(runtime.cudaHostRegister(buffer.data_ptr(), buffer.nbytes, _REGISTER_DEFAULT))
        if code:
            raise SetupError(
                f"--offload: cannot lock {buffer.nbytes / 1e9:.2f} GB of RAM for copies to {device}: "
                f"CUDA error {code}",
                hint="free some RAM, or use --precision fp8, which needs half as much",
            )
        weakref.finalize(buffer, runtime.cudaHostUnregister, buffer.data_ptr()).atexit = False


class StreamedBlocks(nn.ModuleList):
    """Blocks that are on the device only while iterated over: one computes while the next is copied.

    Every use of a transformer's blocks is a loop over them, so no other code needs to know. A loop must not collect
    the blocks: a block's weights are in host memory again when the next one is taken. `copies` counts the blocks
    copied to the device.
    """

    def __init__(self, blocks: nn.ModuleList, host: HostBlocks, device: torch.device) -> None:
        super().__init__(blocks)
        self._device, self._cuda = device, device.type == "cuda"
        self._host = host
        size = max(layout.size for layout in host.layouts)
        self._slot_buffers = [
            torch.empty(size, dtype=torch.uint8, device=device) for _ in range(min(2, len(blocks)))
        ]
        self._slots = [
            layout.views(buffer) for layout, buffer in zip(host.layouts, self._slot_buffers, strict=False)
        ]
        self._slot_block: list[int | None] = [None] * len(self._slots)
        self.copies = 0
        self._stream = torch.cuda.Stream(device) if self._cuda else None
        self._copied = [torch.cuda.Event() if self._cuda else None for _ in self._slots]
        self._released = [torch.cuda.Event() if self._cuda else None for _ in self._slots]
        for block, tensors in zip(blocks, host.tensors, strict=True):
            _set_parameters(block, tensors)

    def __iter__(self) -> Iterator[nn.Module]:
        for index, block in enumerate(super().__iter__()):
            slot = self._prefetch(index, avoid=None)
            if (copied := self._copied[slot]) is not None:
                torch.cuda.current_stream(self._device).wait_event(copied)
            _set_parameters(block, self._slots[slot])
            self._prefetch((index + 1) % len(self), avoid=slot)
            try:
                yield block
            finally:
                if (released := self._released[slot]) is not None:
                    released.record(torch.cuda.current_stream(self._device))
                _set_parameters(block, self._host.tensors[index])

    def _prefetch(self, index: int, avoid: int | None) -> int:
        """Start the copy of a block into a slot other than `avoid`, unless it is in one; return its slot."""
        if index in self._slot_block:
            return self._slot_block.index(index)
        slot = next(other for other in range(len(self._slots)) if other != avoid)
        with torch.cuda.stream(self._stream) if self._cuda else nullcontext():
            if self._stream is not None and (released := self._released[slot]) is not None:
                self._stream.wait_event(released)  # until the computation with the old weights is done
            host = self._host.buffers[index]
            self._slot_buffers[slot][: len(host)].copy_(host, non_blocking=True)
            if self._stream is not None and (copied := self._copied[slot]) is not None:
                copied.record(self._stream)
        self._slot_block[slot] = index
        self._slots[slot] = self._host.layouts[index].views(self._slot_buffers[slot])
        self.copies += 1
        return slot


def offload(transformer: Transformer, host: HostBlocks, device: torch.device) -> None:
    """Stream a transformer's blocks, whose weights are in host memory, through `device`."""
    transformer.blocks = StreamedBlocks(transformer.blocks, host, device)


def _set_parameters(block: nn.Module, parameters: dict[str, nn.Parameter]) -> None:
    for name, parameter in parameters.items():
        owner, _, leaf = name.rpartition(".")
        block.get_submodule(owner).register_parameter(leaf, parameter)
