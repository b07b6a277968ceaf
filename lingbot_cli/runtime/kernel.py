"""Which kernel self-attention runs by: the one asked for, or the fastest here, measured once."""

from dataclasses import replace
from typing import TYPE_CHECKING

from lingbot_cli.runtime.measurements import measure_once, processor_id

if TYPE_CHECKING:
    import torch

    from lingbot_cli.model.accel.attention_backends import AttentionShape
    from lingbot_cli.model.world_model import WorldModel
    from lingbot_cli.presets import Preset

KERNELS_FILE = "kernels.json"


def with_kernel(world: "WorldModel", name: str | None) -> "WorldModel":
    """The world with its self-attention computed by a kernel, if one is named."""
    from lingbot_cli.model.accel.attention_backends import get_backend

    if name is None:
        return world
    return replace(world, attend=get_backend(name, world.device, world.transformer.dtype))


def attention_shape(preset: "Preset", height: int, width: int, processes: int = 1) -> "AttentionShape":
    """The self-attention of a chunk once the window is full; without a window, of three chunks."""
    from lingbot_cli.model.accel.attention_backends import AttentionShape

    tokens = height * width // 256
    window = preset.window if preset.window >= 0 else 3 * preset.chunk
    heads = preset.heads // processes
    return AttentionShape(preset.chunk * tokens, window * tokens, heads, preset.dim // preset.heads)


def pick_kernel(shape: "AttentionShape", device: "torch.device", dtype: "torch.dtype") -> str:
    """The fastest kernel for a shape, remembered for this device and torch; measuring takes milliseconds."""
    from lingbot_cli.model.accel.attention_backends import fastest_backend, time_backends

    def measure() -> dict[str, object]:
        seconds = time_backends(shape, device, dtype)
        return {"kernel": fastest_backend(seconds), "seconds": seconds}

    return str(measure_once(KERNELS_FILE, "kernel", _key(shape, device, dtype), measure))


def _key(shape: "AttentionShape", device: "torch.device", dtype: "torch.dtype") -> str:
    """Everything that a measurement depends on, in words."""
    import torch

    from lingbot_cli.model.accel.attention_backends import list_backends

    cuda = device.type == "cuda"
    name = (
        torch.cuda.get_device_name(device) if cuda else f"{processor_id()}, {torch.get_num_threads()} threads"
    )
    count = f"{shape.queries}×{shape.keys} tokens, {shape.heads} heads of {shape.head_dim}"
    told = f"{name}, torch {torch.__version__}, {dtype}".replace("torch.", "")
    return f"{told}, {count}, of {' '.join(list_backends(device))}"
