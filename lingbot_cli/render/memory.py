"""Whether a film or a stream fits this machine, asked before anything of it is loaded or written."""

from dataclasses import replace

from lingbot_cli.broadcast.source import PreparedStream
from lingbot_cli.checkpoints.cache_dir import all_prompts_cached
from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.remote.client import RemoteModel
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.runtime.hardware import free_ram, shows_gpu
from lingbot_cli.runtime.memory import MemorySetup
from lingbot_cli.runtime.memory_check import check_fits, largest_decode_batch
from lingbot_cli.runtime.model_options import ModelOptions, pick_precision


def check_memory(prepared: PreparedVideo) -> MemorySetup:
    """How the film uses this machine's memory. Errors: MemoryShortError with the flags that would make it fit."""
    return _check(prepared.here, memory_setup(prepared, pick_device_name(prepared.request.options.device)))


def pick_device_name(asked: str | None) -> str:
    """The device that is asked for, or the best there is; torch, which knows, is asked only about GPUs.

    Errors: SetupError for one that is not there.
    """
    if asked == "cpu" or (asked is None and not shows_gpu()):
        return "cpu"
    from lingbot_cli.model.device import pick_device

    return str(pick_device(asked))


def memory_setup(prepared: PreparedVideo, device: str) -> MemorySetup:
    """The choices of a film that decide its memory on a device. Errors: UsageError."""
    planned, checkpoint = prepared.plan, prepared.checkpoint
    latents = sum(len(control.poses) for control in prepared.controls)
    setup = _setup(prepared.request.options, checkpoint, planned.height, planned.width, device, latents)
    return replace(setup, read_prompts=not all_prompts_cached(prepared.prompts, checkpoint.text_identity))


def check_stream_memory(show: PreparedStream) -> MemorySetup:
    """The same of a stream, which fills its memory's window however long it is."""
    preset, device = show.checkpoint.preset, pick_device_name(show.request.options.device)
    latents = max(preset.window, (show.chunks or 1) * preset.chunk)
    return _check(
        show.here, _setup(show.request.options, show.checkpoint, show.height, show.width, device, latents)
    )


def _setup(
    options: ModelOptions, model: Checkpoint | RemoteModel, height: int, width: int, device: str, latents: int
) -> MemorySetup:
    return MemorySetup(
        height=height,
        width=width,
        device=device,
        precision=pick_precision(model.fp8, device, options.precision),
        decode=options.decode or ("float16" if device.startswith("cuda") else "float32"),
        text_on=options.text_on or "cpu",
        offload=options.offload,
        decode_on=options.decode_on,
        latents=latents,
        linears=options.linears,
    )


def _check(checkpoint: Checkpoint, setup: MemorySetup) -> MemorySetup:
    ram = free_ram()
    free = ram if not setup.device.startswith("cuda") else _free_on(setup.device)
    check_fits(checkpoint.preset, setup, free, ram)
    return largest_decode_batch(checkpoint.preset, setup, free)


def _free_on(device: str) -> int:
    import torch

    return torch.cuda.mem_get_info(torch.device(device))[0]
