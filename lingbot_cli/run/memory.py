"""Whether a film or a stream fits this machine, asked before anything of it is loaded or written."""

import torch

from lingbot_cli.run.preview import setup_of
from lingbot_cli.run.request import Prepared, Request
from lingbot_cli.run.show import Show
from lingbot_cli.weights.checkpoint import Checkpoint
from lingbot_cli.weights.fits import check_fits, roomiest
from lingbot_cli.weights.load import pick_precision
from lingbot_cli.weights.memory import Setup
from lingbot_cli.weights.probe import free_ram
from lingbot_cli.world.precision import pick_device


def check_memory(prepared: Prepared) -> Setup:
    """How the film uses this machine's memory. Errors: MemoryShortError with the flags that would make it fit."""
    device, precision = _where(prepared.request, prepared.here)
    return _check(prepared.here, setup_of(prepared, str(device), precision))


def check_show(show: Show) -> Setup:
    """The same of a stream, which fills its memory's window however long it is."""
    device, precision = _where(show.request, show.here)
    settings, preset = show.request.settings, show.checkpoint.preset
    setup = Setup(
        height=show.height,
        width=show.width,
        device=str(device),
        precision=precision,
        decode=settings.decode or ("float16" if device.type == "cuda" else "float32"),
        text_on=settings.text_on or "cpu",
        offload=settings.offload,
        decode_on=settings.decode_on,
        latents=max(preset.window, (show.chunks or 1) * preset.chunk),
        linears=settings.linears,
    )
    return _check(show.here, setup)


def _where(request: Request, checkpoint: Checkpoint) -> tuple[torch.device, str]:
    device = pick_device(request.device)
    return device, pick_precision(checkpoint, device, request.precision)


def _check(checkpoint: Checkpoint, setup: Setup) -> Setup:
    ram, device = free_ram(), torch.device(setup.device)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else ram
    check_fits(checkpoint.preset, setup, free, ram)
    return roomiest(checkpoint.preset, setup, free)
