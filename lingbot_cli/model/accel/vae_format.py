"""Memory format of the VAE: channels first or last in weights and activations alike, whichever is faster."""

from functools import partial

import torch
from torch import nn

from lingbot_cli.model.accel.attention_backends import time_call
from lingbot_cli.model.device import convolutions_in_tf32
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.model.vae_layers import CausalConvCache
from lingbot_cli.presets import Preset

CONTIGUOUS, CHANNELS_LAST = "contiguous", "channels-last"
FORMATS = (CONTIGUOUS, CHANNELS_LAST)
TIMING_ROUNDS = 3


def use_format(part: nn.Module, name: str) -> None:
    """Store the weights of a part's convolutions in a format; its activations take the same."""
    for module in part.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() in (4, 5):
            last = torch.channels_last if weight.dim() == 4 else torch.channels_last_3d
            layout = last if name == CHANNELS_LAST else torch.contiguous_format
            weight.data = weight.data.contiguous(memory_format=layout)


@torch.inference_mode()
def time_formats(
    part: str,
    preset: Preset,
    height: int,
    width: int,
    device: torch.device,
    dtype: torch.dtype,
    *,
    tf32: bool,
) -> dict[str, float]:
    """Return the shortest time in seconds of a latent late in a stream, in each format that runs.

    `part` is `encoder` or `decoder`; its weights are random.
    """
    with torch.device("meta"):
        vae = VAE(VAEConfig.of(preset))
    module = vae.get_submodule(part).to(dtype).to_empty(device=device)
    for parameter in module.parameters():
        parameter.normal_(std=0.02)
    first, later = ((3, 1, height, width), (3, 4, height, width))
    if part == "decoder":
        first = later = (16, 1, height // 8, width // 8)
    seconds: dict[str, float] = {}
    for name in FORMATS:
        use_format(module, name)
        cache = CausalConvCache()
        first_x, x = (torch.randn(1, *shape, device=device, dtype=dtype) for shape in (first, later))
        try:
            with convolutions_in_tf32(tf32):
                for warm_up in (first_x, x):
                    module(warm_up, cache)
                seconds[name] = min(
                    time_call(partial(module, x, cache), device) for _ in range(TIMING_ROUNDS)
                )
        except RuntimeError:  # not for this device, or too large for its memory
            continue
    if device.type == "cuda":
        torch.cuda.empty_cache()  # room for the weights, which are loaded next
    return seconds
