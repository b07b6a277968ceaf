"""Full-size models of random weights, generated on the device, for benchmarks."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from lingbot_cli.checkpoints.checkpoint import Checkpoint, absent_checkpoint
from lingbot_cli.checkpoints.registry import find_decoder
from lingbot_cli.errors import UsageError
from lingbot_cli.model.accel.fp8 import FP8, SCALE_SUFFIX, quantise_weight
from lingbot_cli.model.device import pick_device
from lingbot_cli.model.loading.load_decoder import load_decoder
from lingbot_cli.model.loading.load_vae import DECODER_PREFIXES
from lingbot_cli.model.loading.loader import pick_attention, transformer_on_meta
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.presets import PRESETS, Preset
from lingbot_cli.runtime.model_options import ModelOptions


def random_checkpoint(model: str | None) -> Checkpoint:
    """Return a stand-in for a preset's checkpoint. Errors: UsageError for an unknown name."""
    name = model or "built-in"
    if name not in PRESETS:
        raise UsageError(
            f"--model {name}: no preset of that name to draw random weights for",
            hint=f"use one of {', '.join(PRESETS)}",
        )
    return replace(absent_checkpoint(name), trained=False, identity="random weights")


class RandomPromptEncoder:
    """Random embeddings [text_len, text_dim], the same for every prompt."""

    def __init__(self, preset: Preset) -> None:
        self._shape = (preset.text_len, preset.text_dim)

    def encode(self, prompt: str) -> Tensor:  # noqa: ARG002 - the prompt does not affect speed
        return torch.randn(self._shape, generator=torch.Generator().manual_seed(0))


def random_model(checkpoint: Checkpoint, options: ModelOptions, _prompts: Iterable[str] = ()) -> WorldModel:
    """Return a model of the checkpoint's shape, its weights drawn on the device in their final precision."""
    preset = checkpoint.preset
    device = pick_device(options.device)
    on_cuda = device.type == "cuda"
    decoder_dtype = torch.float16 if on_cuda else torch.float32
    precision = options.precision or ("bfloat16" if on_cuda else "float32")
    attend = pick_attention(options.attention, device, precision)
    transformer = transformer_on_meta(preset, precision, options.linears, device)
    with torch.device("meta"):
        vae = VAE(VAEConfig.of(preset))
        for part in DECODER_PREFIXES:
            vae.get_submodule(part.rstrip(".")).to(decoder_dtype)
    _fill_random(transformer, device)
    _fill_random(vae, device)
    decoder = None
    if options.decoder is not None:
        decoder = load_decoder(find_decoder(options.decoder, ()), device, decoder_dtype, None, device)
    return WorldModel(
        preset=preset,
        transformer=transformer,
        vae=vae,
        text_encoder=RandomPromptEncoder(preset),
        device=device,
        identity="random weights",
        trained=False,
        attend=attend,
        decoder=decoder,
        kv_cache=options.kv_cache,
        encode_tf32=on_cuda and options.encode != "float32",
        reuse_keys=options.commit == "last-step",
    )


def _fill_random(module: nn.Module, device: torch.device) -> None:
    """Move a module from the meta device to a real one: norms are one, other weights small and random."""
    module.to_empty(device=device).eval().requires_grad_(False)
    generator = torch.Generator(device).manual_seed(0)
    parameters = dict(module.named_parameters())
    for name, parameter in parameters.items():
        if parameter.dtype == FP8:
            drawn = torch.empty(parameter.shape, device=device).normal_(std=0.02, generator=generator)
            bits, scale = quantise_weight(drawn)
            parameter.copy_(bits)
            parameters[name + SCALE_SUFFIX].copy_(scale)
        elif name.endswith(SCALE_SUFFIX):
            continue  # set with its weight
        elif name.endswith("gamma") or ("norm" in name and name.endswith("weight")):
            parameter.fill_(1.0)
        else:
            parameter.normal_(std=0.02, generator=generator)
