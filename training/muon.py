"""Optimiser with Muon for weights of two or more axes and Adam for the others."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def _orthogonal(g: Tensor) -> Tensor:
    """Return the nearest matrix with singular values of about one, by five Newton–Schulz steps."""
    x = (g if g.shape[0] <= g.shape[1] else g.T).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return (x if g.shape[0] <= g.shape[1] else x.T).float()


class Muon(torch.optim.Optimizer):
    """Momentum 0.95, then orthogonal steps, for matrices; Adam (0.9, 0.99) for biases, norms and `plain`."""

    def __init__(
        self, model: nn.Module, *, lr: float, adam_lr: float, plain: Iterable[str] = (), decay: float = 0.0
    ) -> None:
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for name, p in model.named_parameters():
            if p.requires_grad:
                is_matrix = sum(n > 1 for n in p.shape) > 1 and not name.startswith(tuple(plain))
                (matrices if is_matrix else others).append(p)
        groups = [
            {"params": matrices, "matrix": True, "peak": lr, "lr": lr},
            {"params": others, "matrix": False, "peak": adam_lr, "lr": adam_lr},
        ]
        super().__init__([g for g in groups if g["params"]], {"decay": decay})

    def scale(self, factor: float) -> None:
        """Set every learning rate to `factor` times its peak."""
        for group in self.param_groups:
            group["lr"] = group["peak"] * factor

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - no closure is called
        for group in self.param_groups:
            if group["matrix"]:
                self._matrices(group)
                continue
            for p in group["params"]:
                self._adam(p, self.state[p], group["lr"])

    def _matrices(self, group: dict[str, Any]) -> None:
        """Orthogonalise this process's share of the matrices; an all-reduce distributes them."""
        rank, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        steps = []
        for i, p in enumerate(group["params"]):
            state = self.state[p]
            m = state.setdefault("m", torch.zeros_like(p, memory_format=torch.contiguous_format))
            m.mul_(0.95).add_(p.grad)
            flat = torch.add(p.grad, m, alpha=0.95).flatten(1)
            steps.append(_orthogonal(flat).flatten() if i % size == rank else torch.zeros(p.numel()))
        joined = torch.cat(steps)
        if size > 1:
            dist.all_reduce(joined)
        for p, part in zip(group["params"], joined.split([p.numel() for p in group["params"]]), strict=True):
            scale = max(1.0, p.shape[0] / (p.numel() / p.shape[0])) ** 0.5
            p.mul_(1 - group["lr"] * group["decay"])
            p.add_(part.view_as(p), alpha=-group["lr"] * scale)

    @staticmethod
    def _adam(p: Tensor, state: dict[str, Tensor], lr: float) -> None:
        gradient = p.grad
        assert gradient is not None  # average_gradients
        m = state.setdefault("m", torch.zeros_like(p))
        v = state.setdefault("v", torch.zeros_like(p))
        t = state.setdefault("t", torch.zeros(()))
        t += 1
        m.lerp_(gradient, 0.1)
        v.lerp_(gradient * gradient, 0.01)
        n = float(t)
        p.addcdiv_(m / (1 - 0.9**n), (v / (1 - 0.99**n)).sqrt_().add_(1e-8), value=-lr)
