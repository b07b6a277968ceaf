"""Where a world runs and what it computes in."""

import torch

from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.runtime.capabilities import Capability, check_device

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str | None) -> torch.device:
    """The named device, or the first CUDA device, or the CPU.

    Errors: UsageError for what is no kind of device, SetupError for one that is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_device(name)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SetupError(
            f"device {name!r} cannot be used: {str(error).splitlines()[0]}",
            hint="`lingbot doctor` lists the devices that work",
        ) from error
    if device.type == "cuda":
        # Exact float32 means exact: cuDNN would otherwise round convolutions to tf32.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return device


def list_gpus() -> tuple[str, ...]:
    """The names of all CUDA devices of this machine."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))


def compute_capability(device: torch.device) -> Capability:
    """A CUDA device's compute capability; None for any other, another maker's devices under that name too."""
    if device.type != "cuda" or torch.version.cuda is None:
        return None
    return torch.cuda.get_device_capability(device)


def pick_dtype(name: str) -> torch.dtype:
    """The torch type of a precision's name."""
    if name not in PRECISIONS:
        raise UsageError(f"precision {name!r} is unknown", hint=f"one of {', '.join(PRECISIONS)}")
    return PRECISIONS[name]
