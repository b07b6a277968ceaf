"""Whether a prepared film fits this machine, asked before anything of it is loaded or written."""

import torch

from lingbot_cli.run.request import Prepared
from lingbot_cli.weights.load import pick_precision
from lingbot_cli.weights.memory import Estimate, Setup, check_fits
from lingbot_cli.weights.probe import free_ram
from lingbot_cli.world.precision import pick_device


def setup_of(prepared: Prepared) -> Setup:
    """The choices of a film that decide its memory."""
    request = prepared.request
    device = pick_device(request.device)
    on_cuda = device.type == "cuda"
    return Setup(
        height=prepared.plan.height,
        width=prepared.plan.width,
        device=str(device),
        precision=pick_precision(prepared.checkpoint, device, request.precision),
        decode=request.settings.decode or ("float16" if on_cuda else "float32"),
        text_on=request.settings.text_on or "cpu",
        offload=request.settings.offload,
        latents=sum(len(control.poses) for control in prepared.controls),
    )


def check_memory(prepared: Prepared) -> Estimate:
    """The film's memory, when it fits. Errors: MemoryShortError with the flags that would make it fit."""
    setup, ram = setup_of(prepared), free_ram()
    device = torch.device(setup.device)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else ram
    return check_fits(prepared.checkpoint.preset, setup, free, ram)
