"""Preflight of a render: every check that needs neither weights nor an open output, for runs and dry runs."""

from dataclasses import replace
from typing import TYPE_CHECKING

from lingbot_cli.checkpoints.cache_dir import all_prompts_cached
from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.remote.client import RemoteModel
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.render.resume import ResumeOptions
from lingbot_cli.runtime.hardware import free_ram, shows_gpu
from lingbot_cli.runtime.memory import MemorySetup
from lingbot_cli.runtime.memory_check import check_fits, largest_decode_batch
from lingbot_cli.runtime.model_options import ModelOptions, pick_decoder_precision, pick_precision
from lingbot_cli.runtime.session_memory import SessionMemory
from lingbot_cli.sinks.base import Sink

if TYPE_CHECKING:
    from lingbot_cli.render.backend import Backend


def preflight(prepared: PreparedVideo, sink: Sink, resume: ResumeOptions | None, backend: "Backend") -> None:
    """Raise every error of a run that can be known before loading; nothing is loaded or written."""
    if resume:
        resume.preflight(prepared)
    backend.preflight()
    sink.preflight(prepared.video_info())


def pick_device_name(asked: str | None) -> str:
    """Return the device asked for, else the best there is; torch is imported only where a GPU may be.

    Errors: SetupError for a device that is not there.
    """
    if asked == "cpu" or (asked is None and not shows_gpu()):
        return "cpu"
    from lingbot_cli.model.device import pick_device

    return str(pick_device(asked))


def check_memory(prepared: PreparedVideo) -> MemorySetup:
    """Return the memory setup on this machine. Errors: InsufficientMemoryError with the flags that would fit."""
    device = pick_device_name(prepared.request.options.device)
    return fit_memory(prepared.checkpoint, memory_setup(prepared, device))


def memory_setup(prepared: PreparedVideo, device: str) -> MemorySetup:
    """Return the choices of a video that determine its memory on a device. Errors: UsageError."""
    plan, model = prepared.plan, prepared.model
    latents = sum(len(control.poses) for control in prepared.controls)
    setup = model_setup(model, prepared.request.options, plan.height, plan.width, device, latents)
    read = not all_prompts_cached(prepared.prompts, model.text_identity)
    return replace(setup, read_prompts=read, gpus=prepared.request.gpus)


def model_setup(
    model: Checkpoint | RemoteModel, options: ModelOptions, height: int, width: int, device: str, latents: int
) -> MemorySetup:
    """Return the memory setup of `latents` latent frames of a size on a device. Errors: UsageError."""
    return MemorySetup(
        height=height,
        width=width,
        device=device,
        precision=pick_precision(model.fp8, device, options.precision),
        decode=pick_decoder_precision(device, options.decode_on, options.decode),
        text_on=options.text_on or "cpu",
        offload=options.offload,
        decode_on=options.decode_on,
        latents=latents,
        linears=options.linears,
        kv_cache=options.kv_cache,
        block_bytes=model.block_bytes,
        text_bytes=model.text_bytes,
    )


def fit_sessions(
    checkpoint: Checkpoint,
    options: ModelOptions,
    height: int,
    width: int,
    latents: int,
    *,
    gpus: int = 1,
    sessions: int = 1,
    live: bool = True,
) -> SessionMemory:
    """Return the memory for sessions that hold `latents` latent frames. Errors: those of `fit_memory`."""
    setup = model_setup(checkpoint, options, height, width, pick_device_name(options.device), latents)
    setup = replace(setup, gpus=gpus, sessions=sessions, live=live)
    free, ram = _free_memory(setup.device)
    needed = check_fits(checkpoint.preset, setup, free, ram)
    setup = largest_decode_batch(checkpoint.preset, setup, free)
    return SessionMemory.beside(checkpoint.preset, setup, needed, free, ram)


def fit_memory(checkpoint: Checkpoint, setup: MemorySetup) -> MemorySetup:
    """Return the setup with the largest decode batch that fits. Errors: InsufficientMemoryError when none fits."""
    free, ram = _free_memory(setup.device)
    check_fits(checkpoint.preset, setup, free, ram)
    return largest_decode_batch(checkpoint.preset, setup, free)


def _free_memory(device: str) -> tuple[int, int]:
    """Return the free bytes of a device that a run may plan with, and those of RAM."""
    ram = free_ram()
    if not device.startswith("cuda"):
        return ram, ram
    from lingbot_cli.model.device import free_gpu_memory

    return free_gpu_memory(device), ram


def check_backends(prepared: PreparedVideo) -> None:
    """Refuse devices, kernels and speed options that this machine lacks. Errors: SetupError, UsageError."""
    options = prepared.request.options
    for name in (options.text_on, options.decode_on):
        pick_device_name(name or "cpu")
    if options.kernel is None and options.attention is None and options.kv_cache is None:
        return
    from lingbot_cli.model.accel.attention_backends import get_backend
    from lingbot_cli.model.accel.quantised_kv_cache import check_kv_cache
    from lingbot_cli.model.device import pick_device
    from lingbot_cli.model.loading.loader import activation_dtype, pick_attention

    device = pick_device(options.device)
    precision = pick_precision(prepared.checkpoint.fp8, device.type, options.precision)
    pick_attention(options.attention, device, precision)
    check_kv_cache(options.kv_cache, device)
    if options.kernel is not None:
        get_backend(options.kernel, device, activation_dtype(precision))
