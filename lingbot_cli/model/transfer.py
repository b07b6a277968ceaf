"""Between host and device with no one waiting: copies are asked for, and whoever uses them waits for them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def upload(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device; a GPU fetches it from page-locked memory while the host goes on."""
    return (x.pin_memory() if device.type == "cuda" else x).to(device, non_blocking=True)


@dataclass(frozen=True)
class AsyncCopy:
    """Values on their way to the host: `host` holds them once `arrived` has come to pass."""

    source: Tensor
    host: Tensor
    ready: torch.cuda.Event | None

    def numpy(self) -> np.ndarray:
        """The values; waits until they are there."""
        if self.ready is not None:
            self.ready.synchronize()
        return self.host.numpy()

    def on_device(self) -> Tensor:
        """The values where they were made, for this thread's stream, which waits for them; the host does not."""
        if self.ready is not None:
            stream = torch.cuda.current_stream(self.source.device)
            stream.wait_event(self.ready)
            self.source.record_stream(stream)
        return self.source


def download(x: Tensor) -> AsyncCopy:
    """Ask for a tensor's values on the host, behind the work that makes it."""
    if not x.is_cuda:
        return AsyncCopy(x, x.cpu(), None)
    host = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
    host.copy_(x, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(x.device))
    return AsyncCopy(x, host, arrived)


def use_own_streams(*devices: torch.device) -> None:
    """Let this thread's further work on these GPUs run beside that of other threads, on streams of its own."""
    for device in devices:
        if device.type != "cuda":
            continue
        shared = torch.cuda.default_stream(device)
        if torch.cuda.current_stream(device) == shared:
            own = torch.cuda.Stream(device)
            own.wait_stream(shared)  # what is loaded may still be on its way
            torch.cuda.set_stream(own)
