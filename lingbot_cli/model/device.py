"""Choice of device and floating-point precision."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.runtime.hardware import Capability, check_device, usable_gpu_memory

TORCH_VERSION = torch.__version__
OUT_OF_MEMORY_TEXTS = ("DefaultCPUAllocator", "_ALLOC_FAILED", "out of memory")
"""Parts of the RuntimeError of PyTorch's CPU allocator, of cuBLAS and cuDNN, and of CUDA itself."""
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str | None) -> torch.device:
    """Return the named device, else the first CUDA device, else the CPU.

    Errors: UsageError for an unknown kind of device, SetupError for a missing one.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_device(name)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SetupError(
            f"--device {name}: {_device_problem(name, error)}",
            hint="run `lingbot doctor` for the devices that work",
        ) from error
    if device.type == "cuda":
        # float32 must be exact: cuDNN rounds convolutions to tf32 by default.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return device


def current_device(device: torch.device) -> AbstractContextManager[object]:
    """Make a CUDA device the current one of this thread for a block; other devices need nothing.

    Each thread begins with the first GPU: page-locked memory, events and compiled kernels would be made for it.
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@contextmanager
def convolutions_in_tf32(rounded: bool) -> Iterator[None]:
    """Round the operands of float32 convolutions to TF32 inside the block, or do not; only GPUs do."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, rounded
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _device_problem(name: str, error: Exception) -> str:
    """Return the reason why a device cannot be used, in a sentence without PyTorch's list of its backends."""
    kind, _, index = name.partition(":")
    backend = getattr(torch, kind, None)
    count = backend.device_count() if backend is not None and backend.is_available() else 0
    if not count:
        return f"PyTorch {TORCH_VERSION} finds no {kind} device on this machine"
    if int(index or 0) >= count:
        return f"there {'is one device' if count == 1 else f'are {count} devices'}, {kind}:0 to {kind}:{count - 1}"
    return str(error).splitlines()[0]


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that a device or the host has too little free memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY_TEXTS)


def empty_caches() -> None:
    """Return the memory that PyTorch's allocator holds without use to the GPUs."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def list_gpus() -> tuple[str, ...]:
    """Return the names of this machine's CUDA devices."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))


def compute_capability(device: torch.device) -> Capability:
    """Return a CUDA device's compute capability; None for any other device, ROCm's \"cuda\" devices included."""
    if device.type != "cuda" or torch.version.cuda is None:
        return None
    return torch.cuda.get_device_capability(device)


def device_name(device: torch.device) -> str | None:
    """Return a GPU's product name; None for any other device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def free_gpu_memory(name: str) -> int:
    """Return the free bytes of a GPU that a run may plan with."""
    return usable_gpu_memory(*torch.cuda.mem_get_info(torch.device(name)))


def pick_dtype(name: str) -> torch.dtype:
    """Return the torch type of a precision's name. Errors: UsageError."""
    if name not in PRECISIONS:
        raise UsageError(f"--precision {name}: unknown precision", hint=f"use one of {', '.join(PRECISIONS)}")
    return PRECISIONS[name]
