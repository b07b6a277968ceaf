"""Whether a prepared film fits this machine, asked before anything of it is loaded or written."""

import torch

from lingbot_cli.run.preview import setup_of
from lingbot_cli.run.request import Prepared
from lingbot_cli.weights.load import pick_precision
from lingbot_cli.weights.memory import Estimate, check_fits
from lingbot_cli.weights.probe import free_ram
from lingbot_cli.world.precision import pick_device


def check_memory(prepared: Prepared) -> Estimate:
    """The film's memory, when it fits. Errors: MemoryShortError with the flags that would make it fit."""
    device, ram = pick_device(prepared.request.device), free_ram()
    precision = pick_precision(prepared.here, device, prepared.request.precision)
    setup = setup_of(prepared, str(device), precision)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else ram
    return check_fits(prepared.checkpoint.preset, setup, free, ram)
