"""Stored weights of more bits, read as eight bits and scales."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lingbot_cli.model.accel.fp8 import FP8, SCALE_SUFFIX, is_quantised_weight, quantise_weight
from lingbot_cli.model.loading.tensor_io import StoredTensor


def quantise_stored(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The same tensors, each matrix of a block as two: its eight bits and its rows' scales."""
    told: dict[str, StoredTensor] = {}
    for name, stored in tensors.items():
        if is_quantised_weight(name):
            pair = _QuantisedPair(stored)
            told[name] = QuantisedHalf(pair, 0, stored.shape, FP8, stored.bytes)
            told[name + SCALE_SUFFIX] = QuantisedHalf(pair, 1, (stored.shape[0], 1), torch.float32, 0)
        else:
            told[name] = stored
    return told


@dataclass
class _QuantisedPair:
    """A matrix quantised once for both halves: the second taken frees it."""

    stored: StoredTensor
    halves: dict[int, Tensor] = field(default_factory=dict)

    def take(self, which: int, device: torch.device) -> Tensor:
        if which not in self.halves:
            whole = torch.empty(self.stored.shape, dtype=self.stored.dtype, device=device)
            self.stored.write_to(whole)
            self.halves = dict(enumerate(quantise_weight(whole)))
        return self.halves.pop(which)


@dataclass(frozen=True)
class QuantisedHalf:
    """The eight bits or the scales of a matrix."""

    pair: _QuantisedPair
    which: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    bytes: int

    def write_to(self, target: Tensor) -> None:
        target.copy_(self.pair.take(self.which, target.device))
