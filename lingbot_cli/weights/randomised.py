"""Full-size worlds of random values, made on the device itself: as good as real ones for measuring speed."""

from typing import Protocol

import torch
from torch import Tensor, nn

from lingbot_cli.errors import UsageError
from lingbot_cli.weights.checkpoint import Checkpoint, find
from lingbot_cli.weights.load import DECODER
from lingbot_cli.world.precision import pick_device, pick_dtype
from lingbot_cli.world.presets import PRESETS, Preset
from lingbot_cli.world.transformer import Transformer, TransformerConfig
from lingbot_cli.world.vae import VAE, VAEConfig
from lingbot_cli.world.world import World


def random_checkpoint(model: str | None) -> Checkpoint:
    """What stands for a preset's checkpoint when none is needed. Errors: UsageError for an unknown name."""
    name = model or "built-in"
    if name not in PRESETS:
        raise UsageError(
            f"--model {name}: random weights need a known shape", hint=f"one of {', '.join(PRESETS)}"
        )
    return Checkpoint(
        layout=find(None),
        preset=PRESETS[name],
        differences=(),
        trained=False,
        stored="F32",
        fp8=False,
        identity="random weights",
        text_identity="random weights",
    )


class RandomText:
    """A prompt's rows [text_len, text_dim], the same for every prompt."""

    def __init__(self, preset: Preset) -> None:
        self._shape = (preset.text_len, preset.text_dim)

    def encode(self, prompt: str) -> Tensor:  # noqa: ARG002 - what is said does not matter to speed
        return torch.randn(self._shape, generator=torch.Generator().manual_seed(0))


class Shaped(Protocol):
    """What asks for a world: a prepared film."""

    @property
    def checkpoint(self) -> Checkpoint: ...


def random_world(film: Shaped, *, device: str | None, precision: str | None) -> World:
    """A world of the shape a film asks for, its weights drawn on the device in their final precision."""
    preset = film.checkpoint.preset
    where = pick_device(device)
    on_cuda = where.type == "cuda"
    dtype = pick_dtype(precision or ("bfloat16" if on_cuda else "float32"))
    with torch.device("meta"):
        transformer = Transformer(TransformerConfig.of(preset)).to(dtype)
        vae = VAE(VAEConfig(dim=preset.vae_dim, num_res_blocks=preset.vae_blocks))
        if on_cuda:
            for part in DECODER:
                vae.get_submodule(part.rstrip(".")).to(torch.float16)
    _draw(transformer, where)
    _draw(vae, where)
    return World(
        preset=preset,
        transformer=transformer,
        vae=vae,
        text=RandomText(preset),
        device=where,
        identity="random weights",
        trained=False,
    )


def _draw(module: nn.Module, device: torch.device) -> None:
    """Give a module of the meta device values on a real one: norms one, the rest small."""
    module.to_empty(device=device).eval().requires_grad_(False)
    generator = torch.Generator(device).manual_seed(0)
    for name, parameter in module.named_parameters():
        if name.endswith("gamma") or ("norm" in name and name.endswith("weight")):
            parameter.fill_(1.0)
        else:
            parameter.normal_(std=0.02, generator=generator)
