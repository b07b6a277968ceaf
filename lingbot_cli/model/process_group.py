"""torch.distributed process group: device of a rank, connection, broadcasts from rank 0."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from lingbot_cli.errors import SetupError
from lingbot_cli.model.device import pick_device

IDLE_TIMEOUT_S = 3600.0
"""Longest time between two messages of a group that waits for its users."""
_before_disconnect: list[Callable[[], None]] = []


def device_of_rank(requested: str | None, local_rank: int) -> str | None:
    """Return the GPU of a rank if CUDA is requested or nothing is, else the requested device."""
    if requested in (None, "cuda") and torch.cuda.is_available():
        return f"cuda:{local_rank}"
    return requested


def connect(device: str | None, *, idle: bool = False) -> None:
    """Join the default process group with this process's device, unless it was joined; wait for all others.

    An `idle` group may go without a message for an hour.
    """
    if dist.is_initialized():
        return
    picked = pick_device(device)
    if picked.type == "cuda":
        torch.cuda.set_device(picked)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if picked.type == "cuda" else "gloo",
        timeout=timedelta(seconds=IDLE_TIMEOUT_S) if idle else None,
    )


class PeerLostError(SetupError):
    """Another process of the group is gone, in the middle of an exchange."""


@contextmanager
def exchanging() -> Iterator[None]:
    """Turn the failure of an exchange into a PeerLostError."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLostError(
            "another process of the group is gone", hint="see its output, and start again"
        ) from error


def broadcast_object(value: object) -> object:
    """Return rank 0's value in every process. Errors: PeerLostError."""
    values = [value]
    with exchanging():
        dist.broadcast_object_list(values, 0, device=torch.device("cpu"))
    return values[0]


def broadcast_flag(flag: bool) -> bool:
    """Return rank 0's flag in every process."""
    tensor = torch.tensor([flag])
    dist.broadcast(tensor, 0)
    return bool(tensor.item())


def before_disconnect(call: Callable[[], None]) -> None:
    """Call `call` before this process leaves the group."""
    _before_disconnect.append(call)


def disconnect() -> None:
    """Leave the default process group, if it was joined."""
    while _before_disconnect:
        _before_disconnect.pop()()
    if dist.is_initialized():
        dist.destroy_process_group()
