"""torch.distributed process group: device of a rank, connection, broadcasts from rank 0."""

import torch
import torch.distributed as dist

from lingbot_cli.model.device import pick_device


def device_of_rank(requested: str | None, local_rank: int) -> str | None:
    """Return the GPU of a rank if CUDA is requested or nothing is, else the requested device."""
    if requested in (None, "cuda") and torch.cuda.is_available():
        return f"cuda:{local_rank}"
    return requested


def connect(device: str | None) -> None:
    """Join the default process group with this process's device; wait for all others."""
    picked = pick_device(device)
    if picked.type == "cuda":
        torch.cuda.set_device(picked)
    dist.init_process_group("cpu:gloo,cuda:nccl" if picked.type == "cuda" else "gloo")


def broadcast_object(value: object) -> object:
    """Return rank 0's value in every process."""
    values = [value]
    dist.broadcast_object_list(values, 0, device=torch.device("cpu"))
    return values[0]


def broadcast_flag(flag: bool) -> bool:
    """Return rank 0's flag in every process."""
    tensor = torch.tensor([flag])
    dist.broadcast(tensor, 0)
    return bool(tensor.item())


def disconnect() -> None:
    """Leave the default process group."""
    dist.destroy_process_group()
