"""A checkpoint on disk becomes a World on a device."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lingbot_cli.checkpoints.cache_dir import prompts_folder
from lingbot_cli.checkpoints.checkpoint import Checkpoint, read_checkpoint
from lingbot_cli.checkpoints.headers import read_json
from lingbot_cli.checkpoints.tensor_names import text_name, vae_name
from lingbot_cli.errors import SetupError
from lingbot_cli.model.accel.fp8 import matmul_dequantised, use_fp8
from lingbot_cli.model.accel.fp8_product import pick_matmul
from lingbot_cli.model.accel.int8_attention import int8_attention
from lingbot_cli.model.accel.malloc import release_large_blocks
from lingbot_cli.model.accel.offload import offload
from lingbot_cli.model.attention import AttentionFunction, attend_all
from lingbot_cli.model.device import compute_capability, pick_device, pick_dtype
from lingbot_cli.model.loading.prompt_cache import CachedPromptEncoder
from lingbot_cli.model.loading.quantised import quantise_stored
from lingbot_cli.model.loading.tensor_io import (
    OnLoadProgress,
    StoredTensor,
    fill_module,
    match_tensors,
    stored_tensors,
)
from lingbot_cli.model.loading.tiny import load_tiny_decoder
from lingbot_cli.model.text_encoder import TextEncoder, umt5_config, umt5_on_meta
from lingbot_cli.model.transformer import Transformer, TransformerConfig
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.presets import Preset
from lingbot_cli.runtime.model_options import ModelOptions, pick_precision

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_DEFAULTS = ModelOptions()
DECODER_PREFIXES = ("decoder.", "conv2.")
"""The VAE's parameters that only decoding needs; the rest encodes and stays in float32 (model §9)."""


def load_model(
    model: str | Path | Checkpoint | None = None,
    options: ModelOptions = _DEFAULTS,
    *,
    prompts: Iterable[str] = (),
    report: OnLoadProgress | None = None,
) -> WorldModel:
    """Load a model: a folder, a fetched model's name, a checkpoint read before, else the one of the options.

    Default precisions: bfloat16 for the transformer and float16 for the decoder on CUDA, else float32.
    `prompts` are encoded first and the text encoder leaves memory before the transformer enters it.
    Errors: SetupError, UsageError.
    """
    checkpoint = (
        model if isinstance(model, Checkpoint) else read_checkpoint(model or options.model, options.assets)
    )
    where = pick_device(options.device)
    if where.type == "cpu":
        release_large_blocks()
    on_cuda = where.type == "cuda"
    precision = pick_precision(checkpoint.fp8, where.type, options.precision)
    decoder_dtype = pick_dtype(options.decode or ("float16" if on_cuda else "float32"))
    attend = pick_attention(options.attention, where, precision)
    decoder_on = where if options.decode_on is None else pick_device(options.decode_on)
    tiny = load_tiny_decoder(options.tiny_decoder, decoder_on, decoder_dtype)
    text = cached_prompt_encoder(checkpoint, pick_device(options.text_on or "cpu"), report)
    for prompt in prompts:
        text.encode(prompt)
    text.release()
    vae = load_vae(checkpoint, where, decoder_dtype, report, decoder_on=decoder_on)
    transformer = load_transformer(
        checkpoint, where, precision, offloaded=options.offload, linears=options.linears, report=report
    )
    return WorldModel(
        preset=checkpoint.preset,
        transformer=transformer,
        vae=vae,
        text_encoder=text,
        device=where,
        identity=checkpoint.identity,
        trained=checkpoint.trained,
        attend=attend,
        tiny_decoder=tiny,
    )


def pick_attention(attention: str | None, device: torch.device, precision: str) -> AttentionFunction:
    """What computes self-attention: exactly, or int8. Errors: SetupError where that is not to be had."""
    if attention is None:
        return attend_all
    return int8_attention(compute_capability(device), activation_dtype(precision))


def load_transformer(
    checkpoint: Checkpoint,
    device: torch.device,
    precision: str,
    *,
    offloaded: bool = False,
    linears: str | None = None,
    report: OnLoadProgress | None = None,
) -> Transformer:
    """The transformer, streamed to the device, or its blocks to host memory, in one precision.

    With fp8 the blocks' matrices are eight bits and the rest is bfloat16; with `linears` fp8 they are eight bits
    whatever the rest is, and multiplied so.
    """
    tensors = stored_tensors(checkpoint.layout.transformer)
    transformer = transformer_on_meta(checkpoint.preset, precision, linears, device)
    if "fp8" in (precision, linears) and not checkpoint.fp8:
        tensors = quantise_stored(tensors)
    types = {name: place.dtype for name, place in transformer.state_dict().items()}
    host = torch.device("cpu")
    fill_module(
        transformer,
        tensors,
        part="transformer",
        device_of=lambda name: host if offloaded and name.startswith("blocks.") else device,
        dtype_of=lambda name: types[name],
        report=report,
    )
    if offloaded:
        offload(transformer, device)
    return transformer.eval()


def transformer_on_meta(
    preset: Preset, precision: str, linears: str | None, device: torch.device
) -> Transformer:
    """A transformer whose tensors have their types but no memory yet, to compute as asked on a device."""
    dtype = activation_dtype(precision)
    with torch.device("meta"):
        transformer = Transformer(TransformerConfig.of(preset)).to(dtype)
    if linears is not None:
        use_fp8(transformer, dtype, pick_matmul(compute_capability(device)))
    elif precision == "fp8":
        use_fp8(transformer, dtype, matmul_dequantised)
    return transformer


def activation_dtype(precision: str) -> torch.dtype:
    """What a transformer computes in outside its eight-bit products."""
    return torch.bfloat16 if precision == "fp8" else pick_dtype(precision)


def load_vae(
    checkpoint: Checkpoint,
    device: torch.device,
    decoder_dtype: torch.dtype,
    report: OnLoadProgress | None = None,
    *,
    decoder_on: torch.device | None = None,
) -> VAE:
    """The VAE: its encoder in float32, its decoder in the given precision, on a device of its own if need be."""
    tensors = original_vae_names(stored_tensors(checkpoint.layout.vae))
    with torch.device("meta"):
        vae = VAE(infer_vae_config(tensors, _latent_statistics(checkpoint)))
    fill_module(
        vae,
        tensors,
        part="VAE",
        device_of=lambda name: (decoder_on or device) if name.startswith(DECODER_PREFIXES) else device,
        dtype_of=lambda name: decoder_dtype if name.startswith(DECODER_PREFIXES) else torch.float32,
        report=report,
    )
    return vae.eval()


def infer_vae_config(
    tensors: Mapping[str, StoredTensor], statistics: Mapping[str, tuple[float, ...]] | None = None
) -> VAEConfig:
    """The widths that tensors of the original names imply. Errors: SetupError when they are no Wan VAE's."""
    first = tensors.get("encoder.conv1.weight")
    if first is None:
        raise SetupError("The VAE's encoder.conv1.weight is missing.", hint="Fetch the VAE again.")
    blocks = sum(
        name.startswith("encoder.downsamples.") and name.endswith(".residual.2.weight") for name in tensors
    )
    config = VAEConfig(dim=first.shape[0], num_res_blocks=blocks // 4)
    statistics = statistics or {}
    return replace(
        config,
        latents_mean=statistics.get("latents_mean", config.latents_mean),
        latents_std=statistics.get("latents_std", config.latents_std),
    )


def original_vae_names(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The VAE's tensors under their original names, whichever of the two namings they came in."""
    last_blocks = [name for name in tensors if name.startswith("decoder.up_blocks.0.resnets.")]
    blocks = max((int(name.split(".")[4]) for name in last_blocks), default=2)
    return {vae_name(name, blocks): tensor for name, tensor in tensors.items()}


def _latent_statistics(checkpoint: Checkpoint) -> dict[str, tuple[float, ...]]:
    """The latents' mean and spread where a config beside the VAE gives them."""
    config = checkpoint.layout.vae / "config.json"
    if not config.is_file():
        return {}
    said = read_json(config)
    return {key: tuple(said[key]) for key in ("latents_mean", "latents_std") if key in said}


def check_tensors(checkpoint: Checkpoint) -> None:
    """Hold every stored tensor to its place, on the meta device, and read the tokenizer. Errors: SetupError."""
    precision = "fp8" if checkpoint.fp8 else "float32"
    transformer = transformer_on_meta(checkpoint.preset, precision, None, torch.device("cpu"))
    match_tensors(transformer, stored_tensors(checkpoint.layout.transformer), "transformer")
    vae = original_vae_names(stored_tensors(checkpoint.layout.vae))
    with torch.device("meta"):
        match_tensors(VAE(infer_vae_config(vae)), vae, "VAE")
    text = text_tensors(checkpoint)
    match_tensors(
        umt5_on_meta(umt5_config({name: t.shape for name, t in text.items()})), text, "text encoder"
    )
    load_tokenizer(checkpoint.layout.tokenizer)


def cached_prompt_encoder(
    checkpoint: Checkpoint, device: torch.device, report: OnLoadProgress | None
) -> CachedPromptEncoder:
    """A checkpoint's prompts: known ones from the disk, new ones through its text encoder on a device."""
    return CachedPromptEncoder(
        lambda: load_text_encoder(checkpoint, device, report),
        identity=checkpoint.text_identity,
        dim=checkpoint.preset.text_dim,
        folder=prompts_folder(),
    )


def load_text_encoder(
    checkpoint: Checkpoint, device: torch.device, report: OnLoadProgress | None = None
) -> TextEncoder:
    """The text encoder: bfloat16 where it is stored so, else float32 (float16 overflows in it)."""
    tensors = text_tensors(checkpoint)
    model = umt5_on_meta(umt5_config({name: tensor.shape for name, tensor in tensors.items()}))
    dtype = torch.bfloat16 if tensors["shared.weight"].dtype == torch.bfloat16 else torch.float32
    fill_module(
        model,
        tensors,
        part="text encoder",
        device_of=lambda _: device,
        dtype_of=lambda _: dtype,
        report=report,
    )
    tokenizer = load_tokenizer(checkpoint.layout.tokenizer)
    return TextEncoder(model, tokenizer, checkpoint.preset.text_len)


def load_tokenizer(file: Path) -> "Tokenizer":
    """A `tokenizer.json`. Errors: SetupError."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(file))
    except Exception as problem:  # the library raises nothing narrower
        raise SetupError(f"{file} is no tokenizer: {problem}.", hint="Fetch that file again.") from problem


def text_tensors(checkpoint: Checkpoint) -> dict[str, StoredTensor]:
    """The text encoder's tensors under UMT5's names. Errors: SetupError when they are no such encoder's."""
    stored = stored_tensors(checkpoint.layout.text)
    tensors = {text_name(name): tensor for name, tensor in stored.items()}
    try:
        umt5_config({name: tensor.shape for name, tensor in tensors.items()})
    except (KeyError, ValueError, IndexError) as lack:
        raise SetupError(
            f"{checkpoint.layout.text} holds no UMT5 encoder: {lack} is not as it should be.",
            hint="Fetch the text encoder again.",
        ) from lack
    return tensors
