"""Autotuning: self-attention kernel, CPU threads and memory format of the VAE, measured once per machine and cached.

They change the speed, and at most the last bits of the result.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lingbot_cli.checkpoints.cache_dir import cache_folder
from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.errors import OutputError, UsageError
from lingbot_cli.files import write_file
from lingbot_cli.runtime.hardware import default_setup
from lingbot_cli.runtime.model_options import ModelOptions, pick_decoder_precision, pick_precision

if TYPE_CHECKING:
    import torch

    from lingbot_cli.model.accel.attention_backends import AttentionShape
    from lingbot_cli.model.world_model import WorldModel
    from lingbot_cli.presets import Preset

T = TypeVar("T")
MAX_ENTRIES = 200
MIN_SPEEDUP = 1.1
"""Speed-up over a default from which another choice is used; less may be noise."""
KERNELS_FILE = "kernels.json"
INT8_FILE = "int8-attention.json"
THREADS_FILE = "threads.json"
FORMATS_FILE = "vae-formats.json"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that set the number of threads; then none is measured."""


def read_measurements(name: str, wanted: str) -> dict[str, dict[str, Any]]:
    """Return the entries of a cache file that have a `wanted` field; none of an unreadable file."""
    try:
        known = json.loads((cache_folder() / name).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: each for key, each in known.items() if isinstance(each, dict) and wanted in each}


def measure_once(name: str, wanted: str, key: str, measure: Callable[[], dict[str, Any]]) -> Any:
    """Return the `wanted` field of an entry, measured if missing; `key` names everything it depends on."""
    known = read_measurements(name, wanted)
    if key not in known:
        known[key] = measure()
        write_measurements(name, known)
    return known[key][wanted]


def fastest(seconds: Mapping[T, float], default: T) -> T:
    """Return the choice of the shortest time; the default unless another is faster by more than noise."""
    best = min(seconds, key=seconds.__getitem__, default=default)
    return best if seconds.get(best, 0.0) * MIN_SPEEDUP < seconds.get(default, float("inf")) else default


def write_measurements(name: str, known: Mapping[str, Any]) -> None:
    """Write the latest entries; a file that cannot be written is measured again next time."""
    latest = dict(list(known.items())[-MAX_ENTRIES:])
    with contextlib.suppress(OSError, OutputError):
        write_file(cache_folder() / name, json.dumps(latest, indent=1), make_folder=True)


def processor_id() -> str:
    """Return an id of the processor model; several machines may share a cache folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "cpu"
    model = {line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "flags"))}
    return "cpu " + hashlib.sha256("".join(sorted(model)).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Tuning:
    """`kernel`: the self-attention backend, None where `--attention` sets another; `threads` of the CPU.

    `vae_format`: memory format of the VAE, None as it is loaded.
    """

    kernel: str | None
    threads: int
    vae_format: str | None = None

    def describe(self) -> str:
        """Return one line of text."""
        parts = {"self-attention": self.kernel, "VAE": self.vae_format}
        count = f"{self.threads} CPU thread{'s' if self.threads > 1 else ''}"
        return " · ".join([*(f"{name}: {value}" for name, value in parts.items() if value), count])

    def as_texts(self) -> dict[str, str]:
        """Return the tuning as texts, for a recipe or a file."""
        texts = {"kernel": self.kernel, "threads": str(self.threads), "vae-format": self.vae_format}
        return {name: text for name, text in texts.items() if text is not None}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> "Tuning":
        """Return the tuning that `as_texts` gave. Errors: KeyError, ValueError."""
        return cls(texts.get("kernel"), int(texts["threads"]), texts.get("vae-format"))


def choose_tuning(
    checkpoint: Checkpoint,
    options: ModelOptions,
    height: int,
    width: int,
    *,
    processes: int = 1,
    previous: Tuning | None = None,
) -> Tuning:
    """Return the tuning of the options, else of a `previous` run of the video, else the fastest, measured.

    With several `processes` each has PyTorch's default threads. Errors: SetupError for a kernel that fails here,
    UsageError for a format that no CPU has.
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
        threads = previous.threads if previous else pick_threads(preset, height, width, dtype)
    set_threads(threads)  # kernels are measured with them
    if options.vae_format == "contiguous" and device.type == "cpu":
        raise UsageError(
            "--vae-format contiguous: a CPU always convolves with channels last", hint="leave it out"
        )
    if options.vae_format is not None or previous is None:
        vae_format = options.vae_format or pick_vae_format(checkpoint, options, height, width)
    else:
        vae_format = previous.vae_format
    if options.attention is not None:
        kernel = None
    elif options.kernel is not None:
        get_backend(options.kernel, device, dtype)
        kernel = options.kernel
    elif previous is not None and previous.kernel is not None:
        kernel = previous.kernel
    else:
        kernel = pick_kernel(attention_shape(preset, height, width, processes), device, dtype)
    return Tuning(kernel, threads, vae_format)


def apply_tuning(model: "WorldModel", tuning: Tuning) -> "WorldModel":
    """Return the model with the tuning's kernel and VAE format, and set the process's number of threads."""
    from lingbot_cli.model.accel.attention_backends import get_backend
    from lingbot_cli.model.accel.cpu_threads import set_threads
    from lingbot_cli.model.accel.vae_format import use_format

    set_threads(tuning.threads)
    if tuning.vae_format is not None:
        use_format(model.vae, tuning.vae_format)
    if tuning.kernel is None:
        return model
    return replace(model, attend=get_backend(tuning.kernel, model.device, model.transformer.dtype))


def attention_shape(preset: "Preset", height: int, width: int, processes: int = 1) -> "AttentionShape":
    """Return the shape of a chunk's self-attention with a full window; without a window, of three chunks."""
    from lingbot_cli.model.accel.attention_backends import AttentionShape

    tokens = height * width // 256
    window = preset.window if preset.window >= 0 else 3 * preset.chunk
    heads = preset.heads // processes
    return AttentionShape(preset.chunk * tokens, window * tokens, heads, preset.dim // preset.heads)


def pick_kernel(shape: "AttentionShape", device: "torch.device", dtype: "torch.dtype") -> str:
    """Return the fastest kernel for a shape; measuring it takes milliseconds."""
    from lingbot_cli.model.accel.attention_backends import DEFAULT_BACKEND, time_backends

    def measure() -> dict[str, object]:
        seconds = time_backends(shape, device, dtype)
        return {"kernel": fastest(seconds, DEFAULT_BACKEND), "seconds": seconds}

    return str(measure_once(KERNELS_FILE, "kernel", _kernel_key(shape, device, dtype), measure))


def pick_vae_format(checkpoint: Checkpoint, options: ModelOptions, height: int, width: int) -> str | None:
    """Return the memory format in which the VAE is faster on its GPUs; None without one.

    Measuring takes about a second. On CPUs channels last is faster everywhere, and a smaller decoder stays as it is.
    """
    from lingbot_cli.model.accel.vae_format import CONTIGUOUS, FORMATS, time_formats
    from lingbot_cli.model.device import TORCH_VERSION, device_name, pick_device, pick_dtype

    preset, device = checkpoint.preset, pick_device(options.device)
    decode_on = device if options.decode_on is None else pick_device(options.decode_on)
    decode = pick_decoder_precision(device.type, options.decode_on, options.decode)
    encode = "float32" if options.encode == "float32" else "tf32"
    parts = {"encoder": (device, encode)}
    if checkpoint.decoder is None:
        parts["decoder"] = decode_on, decode
    parts = {part: where for part, where in parts.items() if where[0].type == "cuda"}
    if not parts:
        return None

    def measure() -> dict[str, object]:
        times = []
        for part, (on, precision) in parts.items():
            tf32 = precision == "tf32"
            dtype = pick_dtype("float32" if tf32 else precision)
            times.append(time_formats(part, preset, height, width, on, dtype, tf32=tf32))
        working = [name for name in FORMATS if all(name in each for each in times)]
        seconds = {name: sum(each[name] for each in times) for name in working}
        return {"format": fastest(seconds, CONTIGUOUS), "seconds": seconds}

    places = ", ".join(f"{part} {precision} on {device_name(on)}" for part, (on, precision) in parts.items())
    shape = f"{preset.vae_dim} channels, {preset.vae_mult}, {preset.vae_blocks} blocks, {width}x{height}"
    return str(measure_once(FORMATS_FILE, "format", f"{places}, torch {TORCH_VERSION}, {shape}", measure))


def int8_attention_wins(preset: "Preset", device_name: str | None) -> bool:
    """Return whether int8 attention is faster than every exact backend, at the preset's default size."""
    from lingbot_cli.model.accel.attention_backends import int8_attention, time_backends
    from lingbot_cli.model.device import compute_capability, pick_device, pick_dtype

    device, dtype = pick_device(device_name), pick_dtype("bfloat16")
    setup = default_setup(preset)
    shape = attention_shape(preset, setup.height, setup.width)

    def measure() -> dict[str, object]:
        int8 = int8_attention(compute_capability(device), dtype)
        seconds = time_backends(shape, device, dtype, {"int8": int8})
        exact = min((spent for name, spent in seconds.items() if name != "int8"), default=float("inf"))
        return {"int8": seconds.get("int8", float("inf")) * MIN_SPEEDUP < exact, "seconds": seconds}

    return bool(measure_once(INT8_FILE, "int8", _kernel_key(shape, device, dtype), measure))


def pick_threads(preset: "Preset", height: int, width: int, dtype: "torch.dtype") -> int:
    """Return the fastest number of CPU threads for a model and size; measuring it takes half a second."""
    from lingbot_cli.model.accel.cpu_threads import default_threads, is_large, time_threads
    from lingbot_cli.model.device import TORCH_VERSION

    if default_threads() == 1 or is_large(preset, height, width):
        return default_threads()

    def measure() -> dict[str, object]:
        seconds = time_threads(preset, height, width, dtype)
        return {"threads": fastest(seconds, default_threads()), "seconds": seconds}

    widths = f"{preset.dim}/{preset.heads}/{preset.ffn}/{preset.vae_dim}/{preset.vae_mult}"
    shape = f"{preset.chunk} of {preset.window} latents, {widths}"
    wait_policy = os.environ.get("OMP_WAIT_POLICY", "usual").lower()
    threads = f"{default_threads()} threads, {wait_policy} waiting"
    key = f"{processor_id()}, {threads}, torch {TORCH_VERSION}, {dtype}, {shape}"
    return int(measure_once(THREADS_FILE, "threads", f"{key}, {width}x{height}", measure))


def _kernel_key(shape: "AttentionShape", device: "torch.device", dtype: "torch.dtype") -> str:
    from lingbot_cli.model.accel.attention_backends import list_backends
    from lingbot_cli.model.accel.cpu_threads import current_threads
    from lingbot_cli.model.device import TORCH_VERSION, device_name

    name = device_name(device) or f"{processor_id()}, {current_threads()} threads"
    versions = f"{name}, torch {TORCH_VERSION}, {dtype}".replace("torch.", "")
    count = f"{shape.queries}×{shape.keys} tokens, {shape.heads} heads of {shape.head_dim}"
    return f"{versions}, {count}, of {' '.join(list_backends(device))}"
