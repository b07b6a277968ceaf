"""Whether a film or a stream fits this machine, asked before anything of it is loaded or written."""

from dataclasses import replace

from lingbot_cli.broadcast.source import Show
from lingbot_cli.checkpoints.cache_dir import all_prompts_cached
from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.remote.client import RemoteModel
from lingbot_cli.render.request import Prepared
from lingbot_cli.runtime.hardware import free_ram, may_have_gpu
from lingbot_cli.runtime.memory import Setup
from lingbot_cli.runtime.memory_check import check_fits, largest_decode_batch
from lingbot_cli.runtime.model_options import ModelOptions, pick_precision


def check_memory(prepared: Prepared) -> Setup:
    """How the film uses this machine's memory. Errors: MemoryShortError with the flags that would make it fit."""
    return _check(prepared.here, setup_of(prepared, pick_place(prepared.request.options.device)))


def pick_place(asked: str | None) -> str:
    """The device that is asked for, or the best there is; torch, which knows, is asked only about GPUs.

    Errors: SetupError for one that is not there.
    """
    if asked == "cpu" or (asked is None and not may_have_gpu()):
        return "cpu"
    from lingbot_cli.model.device import pick_device

    return str(pick_device(asked))


def setup_of(prepared: Prepared, device: str) -> Setup:
    """The choices of a film that decide its memory on a device. Errors: UsageError."""
    planned, checkpoint = prepared.plan, prepared.checkpoint
    latents = sum(len(control.poses) for control in prepared.controls)
    setup = _setup(prepared.request.options, checkpoint, planned.height, planned.width, device, latents)
    return replace(setup, read_prompts=not all_prompts_cached(prepared.prompts, checkpoint.text_identity))


def check_show(show: Show) -> Setup:
    """The same of a stream, which fills its memory's window however long it is."""
    preset, device = show.checkpoint.preset, pick_place(show.request.options.device)
    latents = max(preset.window, (show.chunks or 1) * preset.chunk)
    return _check(
        show.here, _setup(show.request.options, show.checkpoint, show.height, show.width, device, latents)
    )


def _setup(
    options: ModelOptions, model: Checkpoint | RemoteModel, height: int, width: int, device: str, latents: int
) -> Setup:
    return Setup(
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


def _check(checkpoint: Checkpoint, setup: Setup) -> Setup:
    ram = free_ram()
    free = ram if not setup.device.startswith("cuda") else _free_on(setup.device)
    check_fits(checkpoint.preset, setup, free, ram)
    return largest_decode_batch(checkpoint.preset, setup, free)


def _free_on(device: str) -> int:
    import torch

    return torch.cuda.mem_get_info(torch.device(device))[0]
