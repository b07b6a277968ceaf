"""What is chosen on this machine of how a world is computed; it changes the speed, and at most the last bits."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.runtime.kernel import attention_shape, pick_kernel, with_kernel
from lingbot_cli.runtime.measurements import measure_once, processor_id
from lingbot_cli.runtime.model_options import ModelOptions, pick_precision

if TYPE_CHECKING:
    import torch

    from lingbot_cli.model.world_model import WorldModel
    from lingbot_cli.presets import Preset

THREADS_FILE = "threads.json"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables by which somebody has chosen the number of threads already."""


@dataclass(frozen=True)
class Tuning:
    """`kernel`: the program of self-attention, None where a lever puts its own there; `threads` of the CPU."""

    kernel: str | None
    threads: int

    def words(self) -> str:
        """For people, in one line."""
        count = f"{self.threads} CPU thread{'s' if self.threads > 1 else ''}"
        return count if self.kernel is None else f"self-attention: {self.kernel} · {count}"

    def facts(self) -> dict[str, str]:
        """As plain texts."""
        kernel = {} if self.kernel is None else {"kernel": self.kernel}
        return kernel | {"threads": str(self.threads)}

    @classmethod
    def of(cls, facts: Mapping[str, str]) -> "Tuning":
        """Read what `facts` gave. Errors: KeyError, ValueError."""
        return cls(facts.get("kernel"), int(facts["threads"]))


def choose_tuning(
    checkpoint: Checkpoint,
    options: ModelOptions,
    height: int,
    width: int,
    *,
    processes: int = 1,
    before: Tuning | None = None,
) -> Tuning:
    """Return the kernel and threads: as in the options, else as an earlier run, else the fastest, measured.

    Of several `processes` each has PyTorch's own number of threads. Errors: SetupError for a kernel that does
    not run.
    """
    from lingbot_cli.model.accel.attention_backends import get_backend
    from lingbot_cli.model.accel.cpu_threads import default_threads, set_threads
    from lingbot_cli.model.device import pick_device, pick_dtype

    preset, device = checkpoint.preset, pick_device(options.device)
    precision = pick_precision(checkpoint.fp8, device.type, options.precision)
    dtype = pick_dtype("bfloat16" if precision == "fp8" else precision)
    if options.threads is not None:
        threads = options.threads
    elif any(name in os.environ for name in THREAD_VARIABLES) or device.type != "cpu" or processes > 1:
        threads = default_threads()
    else:
        threads = before.threads if before else pick_threads(preset, height, width, dtype)
    set_threads(threads)  # kernels are measured with them
    if options.attention is not None:
        return Tuning(None, threads)
    if options.kernel is not None:
        get_backend(options.kernel, device, dtype)
        return Tuning(options.kernel, threads)
    if before is not None and before.kernel is not None:
        return Tuning(before.kernel, threads)
    return Tuning(pick_kernel(attention_shape(preset, height, width, processes), device, dtype), threads)


def apply_tuning(world: "WorldModel", tuning: Tuning) -> "WorldModel":
    """The world computed so; the number of threads is one for the whole process."""
    from lingbot_cli.model.accel.cpu_threads import set_threads

    set_threads(tuning.threads)
    return with_kernel(world, tuning.kernel)


def pick_threads(preset: "Preset", height: int, width: int, dtype: "torch.dtype") -> int:
    """The fastest number of CPU threads for a world at a size, remembered; measuring takes half a second."""
    import torch

    from lingbot_cli.model.accel.cpu_threads import default_threads, fastest_threads, is_large, time_threads

    if default_threads() == 1 or is_large(preset, height, width):
        return default_threads()

    def measure() -> dict[str, object]:
        seconds = time_threads(preset, height, width, dtype)
        return {"threads": fastest_threads(seconds), "seconds": seconds}

    shape = f"{preset.chunk} of {preset.window} latents, {preset.dim}/{preset.heads}/{preset.ffn}/{preset.vae_dim}"
    wait_policy = os.environ.get("OMP_WAIT_POLICY", "usual").lower()
    threads = f"{default_threads()} threads, {wait_policy} waiting"
    key = f"{processor_id()}, {threads}, torch {torch.__version__}, {dtype}, {shape}"
    return int(measure_once(THREADS_FILE, "threads", f"{key}, {width}x{height}", measure))
