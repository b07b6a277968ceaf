"""Stored tensors with the changes of LoRAs, merged while they load."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.checkpoints.headers import TensorEntry
from lingbot_cli.checkpoints.lora import TensorChange
from lingbot_cli.model.loading.tensor_io import SafetensorsTensor, StoredTensor, stored_tensors


def transformer_tensors(checkpoint: Checkpoint) -> Mapping[str, StoredTensor]:
    """Return the transformer's tensors, those that a LoRA changes merged. Errors: those of `stored_tensors`."""
    stored = dict(stored_tensors(checkpoint.layout.transformer))
    for name, changes in checkpoint.changes.items():
        stored[name] = MergedTensor(stored[name], changes)
    return stored


class MergedTensor(StoredTensor):
    """A stored tensor and its changes, added in float32 on the target's device.

    `is_low_rank`: every change is a product of two factors.
    """

    def __init__(self, base: StoredTensor, changes: tuple[TensorChange, ...]) -> None:
        super().__init__(base.shape, torch.float32, base.bytes)
        self.base, self.changes = base, changes
        self.is_low_rank = all(len(change.factors) == 2 for change in changes)

    def write_to(self, target: Tensor) -> None:
        merged = torch.empty(self.shape, device=target.device)
        self.base.write_to(merged)
        for change in self.changes:
            factors = [_load(entry, target.device) for entry in change.factors]
            if len(factors) == 2:
                up, down = (factor.flatten(1) for factor in factors)
                merged.view(len(merged), -1).addmm_(up, down, alpha=change.scale)
            else:
                merged.add_(factors[0], alpha=change.scale)
        target.copy_(merged)

    def pieces(self) -> Iterator[Tensor]:
        values = torch.empty(self.shape)
        self.write_to(values)
        yield values.view(-1)


class JoinedFactor(StoredTensor):
    """The up (index 0) or down (1) factors of a weight's LoRAs side by side, the scales in the former."""

    def __init__(self, changes: tuple[TensorChange, ...], index: int) -> None:
        self.scales = [change.scale if index == 0 else 1.0 for change in changes]
        self.entries = [change.factors[index] for change in changes]
        self.axis = 1 - index
        side = self.entries[0].shape[index]
        rank = sum(entry.shape[self.axis] for entry in self.entries)
        size = sum(entry.bytes for entry in self.entries)
        super().__init__((side, rank) if index == 0 else (rank, side), torch.float32, size)

    def pieces(self) -> Iterator[Tensor]:
        loaded = [_load(entry, torch.device("cpu")) for entry in self.entries]
        scaled = [part * scale for part, scale in zip(loaded, self.scales, strict=True)]
        yield torch.cat(scaled, dim=self.axis).view(-1)


def _load(entry: TensorEntry, device: torch.device) -> Tensor:
    """Return a stored tensor as float32."""
    values = torch.empty(entry.shape, device=device)
    SafetensorsTensor(entry).write_to(values)
    return values
