"""Data-parallel training in single-threaded processes, with checkpoints, curves and weight averages."""

import csv
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing import ProcessContext

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
_LONGEST_PAUSE = timedelta(days=7)  # of one process while the other waits for it


def run_workers(workers: int, work: Callable[..., None], *rest: Any) -> None:
    """Run `work(rank, *rest)` in that many processes, connected over the loopback interface.

    With a GPU there is one process.
    """
    processes = start_workers(1 if DEVICE.type == "cuda" else workers, work, *rest)
    while not processes.join():  # returns whenever one of them ends
        pass


def start_workers(workers: int, work: Callable[..., None], *rest: Any) -> ProcessContext:
    """Start `work(rank, *rest)` in that many connected processes."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    rendezvous = Path(tempfile.gettempdir()) / f"lingbot-team-{os.getpid()}-{work.__module__}"
    rendezvous.unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no worker is left behind
    arguments = (workers, f"file://{rendezvous}", work, rest)
    return torch.multiprocessing.spawn(_worker, arguments, nprocs=workers, daemon=True, join=False)


def _worker(
    rank: int, workers: int, rendezvous: str, work: Callable[..., None], rest: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=rendezvous, rank=rank, world_size=workers, timeout=_LONGEST_PAUSE
    )
    work(rank, *rest)
    dist.barrier()
    dist.destroy_process_group()


def average_gradients(model: nn.Module) -> None:
    """Replace gradients by their mean over all processes."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = []
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        gradients.append(p.grad)
    if dist.get_world_size() == 1:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def broadcast_value(value: float) -> float:
    """Return rank 0's value in every process; all need the same clock."""
    shared = torch.tensor([value], dtype=torch.float64)
    dist.broadcast(shared, 0)
    return float(shared)


class WeightAverage:
    """Exponential moving average of a model's weights, which is exported."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def follow(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (step + 1) / (step + 10))
        now = model.state_dict()
        torch._foreach_lerp_([self.weights[name] for name in now], list(now.values()), 1 - decay)


class StageClock:
    """Seconds of training over all runs of a stage; a step counts at most `longest_step_s`, a pause no more."""

    def __init__(self, before: float, longest_step_s: float = float("inf")) -> None:
        self.total, self.longest_step_s, self.last = before, longest_step_s, time.monotonic()

    def seconds(self) -> float:
        now = time.monotonic()
        self.total += min(now - self.last, self.longest_step_s)
        self.last = now
        return broadcast_value(self.total)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def load_average(folder: Path, stage: str) -> dict[str, torch.Tensor]:
    """Load the averaged weights of a finished stage, or of its last checkpoint."""
    final = folder / f"{stage}-final.pt"
    path = final if final.exists() else folder / f"{stage}.pt"
    return torch.load(path, weights_only=True, map_location="cpu")["average"]


def append_row(path: Path, row: dict[str, float | int | str]) -> None:
    """Append a row to a CSV curve, with a header for the first."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def gradients_finite(model: nn.Module) -> bool:
    """Return whether every gradient is finite; a GPU is waited for once."""
    grads: Iterable[torch.Tensor] = (p.grad for p in model.parameters() if p.grad is not None)
    return bool(torch.stack([torch.isfinite(g).all() for g in grads]).all())
