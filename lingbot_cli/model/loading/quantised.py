"""Stored weights of more bits, read as eight bits and scales."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lingbot_cli.model.accel.fp8 import FP8, SCALE, is_quantised, quantise
from lingbot_cli.model.loading.tensor_io import Stored


def quantised(tensors: Mapping[str, Stored]) -> dict[str, Stored]:
    """The same tensors, each matrix of a block as two: its eight bits and its rows' scales."""
    told: dict[str, Stored] = {}
    for name, stored in tensors.items():
        if is_quantised(name):
            pair = _Pair(stored)
            told[name] = Half(pair, 0, stored.shape, FP8, stored.bytes)
            told[name + SCALE] = Half(pair, 1, (stored.shape[0], 1), torch.float32, 0)
        else:
            told[name] = stored
    return told


@dataclass
class _Pair:
    """A matrix quantised once for both halves: the second taken frees it."""

    stored: Stored
    halves: dict[int, Tensor] = field(default_factory=dict)

    def take(self, which: int, device: torch.device) -> Tensor:
        if which not in self.halves:
            whole = torch.empty(self.stored.shape, dtype=self.stored.dtype, device=device)
            self.stored.write_to(whole)
            self.halves = dict(enumerate(quantise(whole)))
        return self.halves.pop(which)


@dataclass(frozen=True)
class Half:
    """The eight bits or the scales of a matrix."""

    pair: _Pair
    which: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    bytes: int

    def write_to(self, target: Tensor) -> None:
        target.copy_(self.pair.take(self.which, target.device))
