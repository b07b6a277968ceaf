"""What memory this machine has free, asked without torch."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from lingbot_cli.presets import Preset
from lingbot_cli.runtime.capabilities import Capability
from lingbot_cli.runtime.memory import MemorySetup


def free_ram() -> int:
    """Bytes of RAM a process may still take: the kernel's estimate, and no more than its control group allows."""
    free = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    if not free:
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        free = min(
            free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
        )
    return max(free, 0)


def shows_gpu() -> bool:
    """Whether this machine shows any sign of a GPU that torch may know; torch takes a second to be asked."""
    signs = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd", "/dev/dri/renderD128")
    return shutil.which("nvidia-smi") is not None or any(Path(sign).exists() for sign in signs)


def free_gpus() -> list[tuple[str, int, int]]:
    """Name, total and free bytes of each NVIDIA GPU, as its own tool tells; empty where there is none."""
    with contextlib.suppress(ValueError):
        rows = [line.rsplit(",", 2) for line in _query_nvidia("name,memory.total,memory.free")]
        return [(name, int(total) * 2**20, int(free) * 2**20) for name, total, free in rows]
    return []


def cuda_capability(device: str | None) -> Capability:
    """Compute capability of a CUDA device by name, or of the first where none is named, told without torch."""
    kind, _, place = (device or "cuda").partition(":")
    if kind != "cuda":
        return None
    with contextlib.suppress(ValueError, IndexError):
        major, _, minor = _query_nvidia("compute_cap")[int(place or 0)].partition(".")
        return int(major), int(minor)
    return None


def _query_nvidia(what: str) -> list[str]:
    """A line of values for each NVIDIA GPU, as its own tool tells; none where there is no GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        return said.strip().splitlines()
    return []


def default_setup(preset: Preset) -> MemorySetup:
    """How this machine would run a preset at its own size when nothing else is said."""
    height, width = default_size(preset)
    if free_gpus():
        return MemorySetup(height, width, device="cuda", precision="bfloat16", decode="float16")
    return MemorySetup(height, width)


def default_size(preset: Preset) -> tuple[int, int]:
    """Height and width of a picture of the preset's area and 832×480's shape, in cells of 16 pixels."""
    height = round((preset.area * 480 / 832) ** 0.5 / 16) * 16
    return height, round(preset.area / height / 16) * 16


def free_memory(device: str) -> tuple[int, int]:
    """Free bytes of a device and of the RAM beside it; the CPU's memory is the RAM."""
    ram = free_ram()
    gpus = free_gpus() if device != "cpu" else []
    if not gpus:
        return ram, ram
    place = int(device.partition(":")[2] or 0)
    return gpus[min(place, len(gpus) - 1)][2], ram
