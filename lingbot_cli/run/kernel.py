"""Which kernel a film's self-attention runs by: the one asked for, or the fastest here, measured once."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lingbot_cli.run.measured import keep_measured, measured
from lingbot_cli.run.request import Prepared

if TYPE_CHECKING:
    import torch

    from lingbot_cli.world.kernels import Shape
    from lingbot_cli.world.presets import Preset
    from lingbot_cli.world.world import World

FILE = "kernels.json"


def kernel_of(prepared: Prepared, processes: int = 1) -> str | None:
    """The kernel of a film, asked before its world is loaded; None where a lever puts attention of its own there.

    Errors: SetupError for one that does not run.
    """
    from lingbot_cli.weights.load import pick_precision
    from lingbot_cli.world.kernels import kernel
    from lingbot_cli.world.precision import pick_device, pick_dtype

    request, planned = prepared.request, prepared.plan
    if request.settings.attention is not None:
        return None
    device = pick_device(request.device)
    precision = pick_precision(prepared.here, device, request.precision)
    dtype = pick_dtype("bfloat16" if precision == "fp8" else precision)
    if (asked := request.settings.kernel) is not None:
        kernel(asked, device, dtype)
        return asked
    shape = shape_of(prepared.here.preset, planned.height, planned.width, processes)
    return pick_kernel(shape, device, dtype)


def by_kernel(world: "World", name: str | None) -> "World":
    """The world with its self-attention computed by a kernel, if one is named."""
    from lingbot_cli.world.kernels import kernel

    if name is None:
        return world
    return replace(world, attend=kernel(name, world.device, world.transformer.dtype))


def quickest(world: "World", height: int, width: int, asked: str | None = None) -> "World":
    """A loaded world with the kernel asked for, or the fastest for pictures of a size, unless it has its own."""
    from lingbot_cli.world.attention import attend_all

    if world.attend is not attend_all:
        return world
    shape = shape_of(world.preset, height, width, world.part.size)
    return by_kernel(world, asked or pick_kernel(shape, world.device, world.transformer.dtype))


def shape_of(preset: "Preset", height: int, width: int, processes: int = 1) -> "Shape":
    """The self-attention of a chunk once the window is full; without a window, of three chunks."""
    from lingbot_cli.world.kernels import Shape

    tokens = height * width // 256
    window = preset.window if preset.window >= 0 else 3 * preset.chunk
    heads = preset.heads // processes
    return Shape(preset.chunk * tokens, window * tokens, heads, preset.dim // preset.heads)


def pick_kernel(shape: "Shape", device: "torch.device", dtype: "torch.dtype") -> str:
    """The fastest kernel for a shape, remembered for this device and torch; measuring takes milliseconds."""
    from lingbot_cli.world.kernels import fastest, timed

    key = _key(shape, device, dtype)
    known = measured(FILE, "kernel")
    if key not in known:
        seconds = timed(shape, device, dtype)
        known[key] = {"kernel": fastest(seconds), "seconds": seconds}
        keep_measured(FILE, known)
    return str(known[key]["kernel"])


def _key(shape: "Shape", device: "torch.device", dtype: "torch.dtype") -> str:
    """Everything that a measurement depends on, in words."""
    import torch

    from lingbot_cli.world.kernels import kernels

    cuda = device.type == "cuda"
    name = (
        torch.cuda.get_device_name(device) if cuda else f"{_processor()}, {torch.get_num_threads()} threads"
    )
    count = f"{shape.queries}×{shape.keys} tokens, {shape.heads} heads of {shape.head_dim}"
    told = f"{name}, torch {torch.__version__}, {dtype}".replace("torch.", "")
    return f"{told}, {count}, of {' '.join(kernels(device))}"


def _processor() -> str:
    """Which kind of processor this is; a folder may be shared by several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "cpu"
    model = {line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "flags"))}
    return "cpu " + hashlib.sha256("".join(sorted(model)).encode()).hexdigest()[:8]
