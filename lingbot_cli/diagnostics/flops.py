"""Counters of floating-point operations and bytes, from the operations that run, and peaks of the device."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count


def _attention(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(q.shape, k.shape, v.shape)


# PyTorch's table lacks the attention operation of the CPU.
FLOP_FORMULAS = {**flop_registry, torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


@dataclass(frozen=True)
class OpCost:
    """`flops` and `bytes` of matrix products, convolutions and attention.

    `bytes` counts each operand once and no element-wise operation: the least that must be moved.
    """

    flops: int = 0
    bytes: int = 0

    def __add__(self, other: "OpCost") -> "OpCost":
        return OpCost(self.flops + other.flops, self.bytes + other.bytes)


class OpCounter(TorchDispatchMode):
    """Sum the cost of the counted operations that run inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.cost = OpCost()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        formula = FLOP_FORMULAS.get(func._overloadpacket)
        if formula is None:
            with self:  # a composite operation is counted by its parts
                result = func.decompose(*args, **(kwargs or {}))
            return func(*args, **(kwargs or {})) if result is NotImplemented else result
        out = func(*args, **(kwargs or {}))
        operands = (*args, *(out if isinstance(out, tuple) else (out,)))
        moved = sum(value.numel() * value.element_size() for value in operands if isinstance(value, Tensor))
        self.cost += OpCost(formula(*args, **(kwargs or {}), out_val=out), moved)
        return out


class CostByPhase:
    """Phase hook of a session that sums the cost of each phase."""

    def __init__(self) -> None:
        self.phases: dict[str, OpCost] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        with OpCounter() as counter:
            yield
        self.phases[name] = self.phases.get(name, OpCost()) + counter.cost


@dataclass(frozen=True)
class DevicePeaks:
    """Floating-point operations and bytes a second that a device reached in this run."""

    flops: float
    bytes: float


def measure_peaks(device: torch.device, dtype: torch.dtype, seconds: float, clock: Any) -> DevicePeaks:
    """Measure a large matrix product and a large copy on random data, each for about `seconds`."""
    side, elements = (8192, 2**30) if device.type == "cuda" else (1024, 2**26)
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    source = torch.empty(elements, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return DevicePeaks(
        flops=2 * side**3 * _rate(lambda: torch.mm(a, b), device, seconds, clock),
        bytes=2 * elements * _rate(lambda: target.copy_(source), device, seconds, clock),
    )


def _rate(run: Any, device: torch.device, seconds: float, clock: Any) -> float:
    """Return the calls of `run` a second: the best of three measurements, each after a warm-up."""

    def synchronize() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    best = 0.0
    for _ in range(3):
        run()
        synchronize()
        count, started = 0, clock()
        while True:
            for _ in range(4):
                run()
            synchronize()
            count += 4
            elapsed = clock() - started
            if elapsed > seconds / 3:
                break
        best = max(best, count / elapsed)
    return best
