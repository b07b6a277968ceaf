"""Free memory, GPUs and device capabilities of this machine, found without torch."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import MutableMapping
from importlib.util import find_spec
from pathlib import Path

from lingbot_cli import operating_system
from lingbot_cli.errors import UsageError
from lingbot_cli.presets import Preset
from lingbot_cli.runtime.memory import MemorySetup

Capability = tuple[int, int] | None
"""A CUDA device's compute capability; None for any other device."""
FP8_CAPABILITY = (8, 9)
INT8_CAPABILITY = (8, 0)
INT8_PACKAGE = "sageattention"

QUERY_TIMEOUT_S = 20
MARGIN = 0.08
"""Share of a GPU that stays free: fragments of the allocator, other programs and the estimate's error."""
ALLOCATOR_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""Environment variables with the settings of PyTorch's allocator; lingbot leaves them as the user set them."""


def free_ram() -> int:
    """Return the available RAM in bytes: the kernel's estimate, limited by the control group."""
    free = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    if not free:
        free = operating_system.free_ram()
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        free = min(
            free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
        )
    return max(free, 0)


def shows_gpu() -> bool:
    """Return whether this machine may have a GPU that torch knows; importing torch would take a second."""
    signs = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd", "/dev/dri/renderD128")
    return shutil.which("nvidia-smi") is not None or any(Path(sign).exists() for sign in signs)


def free_gpus() -> list[tuple[str, int, int]]:
    """Return name, total and free bytes of each NVIDIA GPU, from nvidia-smi."""
    with contextlib.suppress(ValueError):
        rows = [line.rsplit(",", 2) for line in _query_nvidia("name,memory.total,memory.free")]
        return [(name, int(total) * 2**20, int(free) * 2**20) for name, total, free in rows]
    return []


def cuda_capability(device: str | None) -> Capability:
    """Return the compute capability of a CUDA device, the first by default; None for other devices."""
    kind, _, place = (device or "cuda").partition(":")
    if kind != "cuda":
        return None
    with contextlib.suppress(ValueError, IndexError):
        major, _, minor = _query_nvidia("compute_cap")[int(place or 0)].partition(".")
        return int(major), int(minor)
    return None


def _query_nvidia(fields: str) -> list[str]:
    """Return a line of values for each NVIDIA GPU that CUDA shows, in CUDA's order; none without nvidia-smi."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, f"--query-gpu=index,uuid,{fields}", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        run = subprocess.run(query, capture_output=True, text=True, timeout=QUERY_TIMEOUT_S, check=True)
        lines = [line.split(",", 2) for line in run.stdout.strip().splitlines()]
        rows = [(index.strip(), uuid.strip(), values.strip()) for index, uuid, values in lines]
        return [values for _, _, values in _visible(rows, os.environ.get("CUDA_VISIBLE_DEVICES"))]
    return []


def _visible(rows: list[tuple[str, str, str]], asked: str | None) -> list[tuple[str, str, str]]:
    """Return the GPUs (index, UUID, values) that CUDA_VISIBLE_DEVICES shows: up to its first unknown entry."""
    if asked is None:
        return rows
    shown = []
    for entry in (part.strip() for part in asked.split(",")):
        found = [row for row in rows if entry and (row[0] == entry or row[1].startswith(entry))]
        if len(found) != 1:
            break
        shown += found
    return shown


def usable_gpu_memory(free: int, total: int) -> int:
    """Return the bytes of a GPU that a run may plan with: those free, without the margin of the whole."""
    return max(0, free - int(MARGIN * total))


def use_expandable_segments(environ: MutableMapping[str, str]) -> None:
    """Let PyTorch grow its segments in place, so that freed memory of one size serves another; before CUDA starts."""
    if not any(name in environ for name in ALLOCATOR_VARIABLES):
        environ[ALLOCATOR_VARIABLES[1]] = "expandable_segments:True"


def default_setup(preset: Preset) -> MemorySetup:
    """Return the memory setup of a preset on this machine: default options, its area in the shape of 832×480."""
    height = round((preset.area * 480 / 832) ** 0.5 / 16) * 16
    width = round(preset.area / height / 16) * 16
    if free_gpus():
        return MemorySetup(height, width, device="cuda", precision="bfloat16", decode="float16")
    return MemorySetup(height, width)


def free_memory(device: str) -> tuple[int, int]:
    """Return the usable bytes of a device and those of the RAM; for the CPU both are the RAM."""
    ram = free_ram()
    gpus = free_gpus() if device != "cpu" else []
    if not gpus:
        return ram, ram
    place = int(device.partition(":")[2] or 0)
    _, total, free = gpus[min(place, len(gpus) - 1)]
    return usable_gpu_memory(free, total), ram


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
