"""Optimiser with Muon for weights of two or more axes and Adam for the others."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def _orthogonal(g: Tensor) -> Tensor:
    """Return the nearest matrices with singular values of about one [N, a, b], by five Newton–Schulz steps."""
    wide = g.shape[1] <= g.shape[2]
    x = (g if wide else g.mT).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return (x if wide else x.mT).float()


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
            else:
                self._adam(group)

    def _matrices(self, group: dict[str, Any]) -> None:
        """Orthogonalise this process's share of the matrices; an all-reduce distributes them."""
        rank, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        steps = [torch.zeros(0)] * len(group["params"])
        alike: dict[torch.Size, list[int]] = defaultdict(
            list
        )  # on a GPU, many small products cost their start
        gradients = [p.grad for p in group["params"]]
        momenta = [
            self.state[p].setdefault("m", torch.zeros_like(p, memory_format=torch.contiguous_format))
            for p in group["params"]
        ]
        torch._foreach_mul_(momenta, 0.95)
        torch._foreach_add_(momenta, gradients)
        ahead = torch._foreach_add(gradients, momenta, alpha=0.95)
        for i, p in enumerate(group["params"]):
            steps[i] = ahead[i].flatten(1)
            if i % size == rank:
                alike[steps[i].shape].append(i)
            else:
                steps[i] = torch.zeros(p.numel(), device=p.device)
        for same in alike.values():
            for i, step in zip(same, _orthogonal(torch.stack([steps[i] for i in same])), strict=True):
                steps[i] = step.flatten()
        joined = torch.cat(steps)
        if size > 1:
            dist.all_reduce(joined)
        parts = [
            part.view_as(p)
            for p, part in zip(
                group["params"], joined.split([p.numel() for p in group["params"]]), strict=True
            )
        ]
        scales = [max(1.0, p.shape[0] / (p.numel() / p.shape[0])) ** 0.5 for p in group["params"]]
        torch._foreach_mul_(parts, [-group["lr"] * scale for scale in scales])
        if group["decay"]:
            torch._foreach_mul_(group["params"], 1 - group["lr"] * group["decay"])
        torch._foreach_add_(group["params"], parts)

    def _adam(self, group: dict[str, Any]) -> None:
        states = [self.state[p] for p in group["params"]]
        gradients = [p.grad for p in group["params"]]  # of all, by average_gradients
        for state, p in zip(states, group["params"], strict=True):
            if not state:
                state.update(m=torch.zeros_like(p), v=torch.zeros_like(p), t=torch.zeros(()))
            state["t"] += 1
        m, v = [state["m"] for state in states], [state["v"] for state in states]
        torch._foreach_lerp_(m, gradients, 0.1)
        torch._foreach_lerp_(v, torch._foreach_mul(gradients, gradients), 0.01)
        times = [float(state["t"]) for state in states]
        spread = torch._foreach_div(v, [1 - 0.99**t for t in times])
        torch._foreach_sqrt_(spread)
        torch._foreach_add_(spread, 1e-8)
        steps = torch._foreach_div(m, spread)
        torch._foreach_mul_(steps, [-group["lr"] / (1 - 0.9**t) for t in times])
        torch._foreach_add_(group["params"], steps)
