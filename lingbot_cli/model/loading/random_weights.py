"""Full-size worlds of random values, made on the device itself: as good as real ones for measuring speed."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lingbot_cli.checkpoints.checkpoint import Checkpoint, find_layout
from lingbot_cli.errors import UsageError
from lingbot_cli.model.accel.fp8 import FP8, SCALE_SUFFIX, quantise_weight
from lingbot_cli.model.device import pick_device
from lingbot_cli.model.loading.load import DECODER_PREFIXES, pick_attention, transformer_on_meta
from lingbot_cli.model.loading.tiny import load_tiny_decoder
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.presets import PRESETS, Preset
from lingbot_cli.runtime.model_options import ModelOptions


def random_checkpoint(model: str | None) -> Checkpoint:
    """What stands for a preset's checkpoint when none is needed. Errors: UsageError for an unknown name."""
    name = model or "built-in"
    if name not in PRESETS:
        raise UsageError(
            f"--model {name}: random weights need a known shape", hint=f"one of {', '.join(PRESETS)}"
        )
    return Checkpoint(
        layout=find_layout(None),
        preset=PRESETS[name],
        differences=(),
        trained=False,
        stored="F32",
        fp8=False,
        identity="random weights",
        text_identity="random weights",
    )


class RandomPromptEncoder:
    """A prompt's rows [text_len, text_dim], the same for every prompt."""

    def __init__(self, preset: Preset) -> None:
        self._shape = (preset.text_len, preset.text_dim)

    def encode(self, prompt: str) -> Tensor:  # noqa: ARG002 - what is said does not matter to speed
        return torch.randn(self._shape, generator=torch.Generator().manual_seed(0))


def random_model(checkpoint: Checkpoint, options: ModelOptions, _prompts: Iterable[str] = ()) -> WorldModel:
    """Make a model of the checkpoint's shape, its weights drawn on the device in their final precision."""
    preset = checkpoint.preset
    where = pick_device(options.device)
    on_cuda = where.type == "cuda"
    decoder_dtype = torch.float16 if on_cuda else torch.float32
    precision = options.precision or ("bfloat16" if on_cuda else "float32")
    attend = pick_attention(options.attention, where, precision)
    tiny = load_tiny_decoder(options.tiny_decoder, where, decoder_dtype)
    transformer = transformer_on_meta(preset, precision, options.linears, where)
    with torch.device("meta"):
        vae = VAE(VAEConfig(dim=preset.vae_dim, num_res_blocks=preset.vae_blocks))
        for part in DECODER_PREFIXES:
            vae.get_submodule(part.rstrip(".")).to(decoder_dtype)
    _fill_random(transformer, where)
    _fill_random(vae, where)
    return WorldModel(
        preset=preset,
        transformer=transformer,
        vae=vae,
        text_encoder=RandomPromptEncoder(preset),
        device=where,
        identity="random weights",
        trained=False,
        attend=attend,
        tiny_decoder=tiny,
    )


def _fill_random(module: nn.Module, device: torch.device) -> None:
    """Give a module of the meta device values on a real one: norms one, the rest small."""
    module.to_empty(device=device).eval().requires_grad_(False)
    generator = torch.Generator(device).manual_seed(0)
    own = dict(module.named_parameters())
    for name, parameter in own.items():
        if parameter.dtype == FP8:
            drawn = torch.empty(parameter.shape, device=device).normal_(std=0.02, generator=generator)
            bits, scale = quantise_weight(drawn)
            parameter.copy_(bits)
            own[name + SCALE_SUFFIX].copy_(scale)
        elif name.endswith(SCALE_SUFFIX):
            continue  # it came with its matrix
        elif name.endswith("gamma") or ("norm" in name and name.endswith("weight")):
            parameter.fill_(1.0)
        else:
            parameter.normal_(std=0.02, generator=generator)
