"""Device capabilities that speed options need, and the window of fast mode."""

import re
from importlib.util import find_spec

from lingbot_cli.errors import UsageError
from lingbot_cli.presets import Preset

Capability = tuple[int, int] | None
"""A CUDA device's compute capability; None for any other device."""

FP8_CAPABILITY = (8, 9)
INT8_CAPABILITY = (8, 0)
INT8_PACKAGE = "sageattention"


def check_device(name: str) -> None:
    """Raise UsageError for a device name of no known kind; whether the device exists, only torch knows."""
    if not re.fullmatch(r"(cpu|cuda|mps|xpu)(:[0-9]{1,3})?", name):
        raise UsageError(
            f"unknown device {name}", hint="use cpu, cuda (also for AMD's GPUs), cuda:1, mps or xpu"
        )


def has_fp8_units(capability: Capability) -> bool:
    """Return whether a device has matrix units for eight-bit floats."""
    return capability is not None and capability >= FP8_CAPABILITY


def int8_attention_problem(capability: Capability) -> str | None:
    """Return the reason why a device cannot run eight-bit attention; None if it can."""
    if capability is None:
        return "its kernels need a CUDA device"
    if capability < INT8_CAPABILITY:
        return "its kernels need compute capability {}.{}".format(*INT8_CAPABILITY)
    if find_spec(INT8_PACKAGE) is None:
        return f"the package {INT8_PACKAGE} is not installed"
    return None


def fast_window(preset: Preset) -> int:
    """Return the window of fast mode in latent frames: sink, previous chunk and current chunk."""
    small = preset.sink + 2 * preset.chunk
    return small if preset.window < 0 else min(preset.window, small)
