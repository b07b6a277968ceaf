"""Asynchronous copies between host and device; the consumer of a copy waits, not its producer."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.model.device import current_device


def upload(x: Tensor, device: torch.device) -> Tensor:
    """Copy a host tensor to a device; a GPU reads it from page-locked memory without blocking the host."""
    return (x.pin_memory() if device.type == "cuda" else x).to(device, non_blocking=True)


@dataclass(frozen=True)
class AsyncCopy:
    """A copy to the host in progress: `host` is valid once the event `ready` has completed."""

    source: Tensor
    host: Tensor
    ready: torch.cuda.Event | None

    def numpy(self) -> np.ndarray:
        """Wait for the copy and return its values."""
        if self.ready is not None:
            self.ready.synchronize()
        return self.host.numpy()

    def on_device(self) -> Tensor:
        """Return the source for use on this thread's stream, which waits for it; the host does not."""
        if self.ready is not None:
            stream = torch.cuda.current_stream(self.source.device)
            stream.wait_event(self.ready)
            self.source.record_stream(stream)
        return self.source


def download(x: Tensor) -> AsyncCopy:
    """Start a copy of a tensor to the host, ordered after the work that computes it."""
    if not x.is_cuda:
        return AsyncCopy(x, x.cpu(), None)
    with current_device(x.device):
        host = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
        host.copy_(x, non_blocking=True)
        ready = torch.cuda.Event()
        ready.record(torch.cuda.current_stream(x.device))
    return AsyncCopy(x, host, ready)


def from_host(values: np.ndarray) -> AsyncCopy:
    """Return host values as a finished copy."""
    host = torch.as_tensor(values)
    return AsyncCopy(host, host, None)


def use_own_streams(*devices: torch.device) -> None:
    """Give this thread its own stream on each GPU, so that its work runs beside that of other threads."""
    for device in devices:
        if device.type != "cuda":
            continue
        shared = torch.cuda.default_stream(device)
        if torch.cuda.current_stream(device) == shared:
            own = torch.cuda.Stream(device)
            own.wait_stream(shared)  # loading may not be finished
            torch.cuda.set_stream(own)
