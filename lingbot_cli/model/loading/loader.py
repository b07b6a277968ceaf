"""Loading of a checkpoint into a model on a device: text encoder first, then VAE and transformer."""

from collections.abc import Callable, Container, Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.errors import SetupError
from lingbot_cli.model.accel.attention_backends import int8_attention
from lingbot_cli.model.accel.fp8 import matmul_dequantised, pick_matmul, use_fp8
from lingbot_cli.model.accel.offload import HostBlocks, offload
from lingbot_cli.model.accel.quantised_kv_cache import check_kv_cache
from lingbot_cli.model.attention import AttentionFunction, attend_all
from lingbot_cli.model.device import compute_capability, pick_device, pick_dtype
from lingbot_cli.model.loading.load_decoder import Decoder, load_decoder
from lingbot_cli.model.loading.load_text import cached_prompt_encoder, load_tokenizer, text_tensors
from lingbot_cli.model.loading.load_vae import infer_vae_config, load_vae, vae_tensors
from lingbot_cli.model.loading.merge import transformer_tensors
from lingbot_cli.model.loading.packed_layers import is_fp8_weight, split_fp8, use_packed_layers
from lingbot_cli.model.loading.tensor_io import (
    OnLoadProgress,
    fill_module,
    match_tensors,
    quantise_stored,
    stored_tensors,
)
from lingbot_cli.model.text_encoder import umt5_config, umt5_on_meta
from lingbot_cli.model.transformer import Transformer, TransformerConfig
from lingbot_cli.model.vae import VAE
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.operating_system import loading_weights, release_large_blocks
from lingbot_cli.presets import Preset
from lingbot_cli.prompt_cleaning import PromptFitter
from lingbot_cli.runtime.model_options import (
    ModelOptions,
    apply_options,
    pick_decoder_precision,
    pick_precision,
    read_model,
)

_DEFAULTS = ModelOptions()


def load_model(
    model: str | Path | Checkpoint | None = None,
    options: ModelOptions = _DEFAULTS,
    *,
    prompts: Iterable[str] = (),
    report: OnLoadProgress | None = None,
    warn: Callable[[str], None] = lambda _: None,
    keep_text_encoder: bool = False,
) -> WorldModel:
    """Load a model: a folder, a downloaded model's name, a checkpoint, or else the model of the options.

    Default precisions are bfloat16 for the transformer and float16 for the decoder on CUDA, else float32; each by
    its own device. `prompts` are encoded first, and the text encoder's memory is freed before the transformer is
    loaded, unless it stays for prompts to come. `warn` receives a sentence for each prompt that is cut.
    Errors: SetupError, UsageError.
    """
    checkpoint = (
        model
        if isinstance(model, Checkpoint)
        else apply_options(
            read_model(replace(options, model=str(model) if model else options.model)), options
        )
    )
    device = pick_device(options.device)
    if device.type == "cpu":
        release_large_blocks()
    precision = pick_precision(checkpoint.fp8, device.type, options.precision)
    decoder_dtype = pick_dtype(pick_decoder_precision(device.type, options.decode_on, options.decode))
    attend = pick_attention(options.attention, device, precision)
    check_kv_cache(options.kv_cache, device)
    decoder_on = device if options.decode_on is None else pick_device(options.decode_on)
    text_encoder = cached_prompt_encoder(checkpoint, pick_device(options.text_on or "cpu"), report)
    for prompt in prompts:
        text_encoder.encode(prompt)
    if not keep_text_encoder:
        text_encoder.release()
    with loading_weights() if device.type == "cpu" else nullcontext():
        vae = load_vae(checkpoint, device, decoder_dtype, report, decoder_on=decoder_on)
        decoder = _load_own_decoder(checkpoint, vae, decoder_on, decoder_dtype, device)
        transformer = load_transformer(
            checkpoint, device, precision, offloaded=options.offload, linears=options.linears, report=report
        )
    return WorldModel(
        preset=checkpoint.preset,
        transformer=transformer,
        vae=vae,
        text_encoder=text_encoder,
        device=device,
        identity=checkpoint.identity,
        trained=checkpoint.trained,
        attend=attend,
        decoder=decoder,
        kv_cache=options.kv_cache,
        fit_prompt=PromptFitter(checkpoint.layout.tokenizer, checkpoint.preset.text_len, warn),
        prepare_prompt=text_encoder.prepare,
        encode_tf32=device.type == "cuda" and options.encode != "float32",
        reuse_keys=options.commit == "last-step",
    )


def _load_own_decoder(
    checkpoint: Checkpoint, vae: VAE, decoder_on: torch.device, dtype: torch.dtype, device: torch.device
) -> Decoder | None:
    """Load the checkpoint's separate decoder, if it has one; a trained model's is compared with its VAE."""
    if checkpoint.decoder is None:
        return None
    return load_decoder(checkpoint.decoder, decoder_on, dtype, vae if checkpoint.trained else None, device)


def pick_attention(attention: str | None, device: torch.device, precision: str) -> AttentionFunction:
    """Return exact or int8 self-attention. Errors: SetupError if it is not available on the device."""
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
    """Load the transformer to the device, or its blocks to host memory.

    Precision fp8 stores the blocks' linear weights in fp8 and the rest in bfloat16; `linears` fp8 stores and
    multiplies them in fp8 at any precision of the rest.
    """
    tensors = transformer_tensors(checkpoint)
    if checkpoint.fp8:  # layers that its publisher left in more bits keep them
        eight = {name for name, tensor in tensors.items() if is_fp8_weight(tensor)}
        transformer = transformer_on_meta(checkpoint.preset, precision, linears, device, only=eight)
        tensors = split_fp8(tensors)
    else:
        transformer = transformer_on_meta(checkpoint.preset, precision, linears, device)
        if "fp8" in (precision, linears):
            tensors = quantise_stored(tensors)
    tensors = use_packed_layers(transformer, tensors, activation_dtype(precision), within="blocks.")
    host = HostBlocks(transformer, device) if offloaded else None
    fill_module(
        transformer,
        tensors,
        part="transformer",
        device_of=lambda _: device,
        target_of=lambda name: host.tensor(name) if host is not None else None,
        report=report,
    )
    if host is not None:
        offload(transformer, host, device)
    return transformer.eval()


def transformer_on_meta(
    preset: Preset,
    precision: str,
    linears: str | None,
    device: torch.device,
    only: Container[str] | None = None,
) -> Transformer:
    """Return a transformer on the meta device with the types and products that it will have on `device`.

    `only`: names of the blocks' weights that are fp8 at precision fp8, all by default.
    """
    dtype = activation_dtype(precision)
    with torch.device("meta"):
        transformer = Transformer(TransformerConfig.of(preset)).to(dtype)
    if linears is not None:
        use_fp8(transformer, dtype, pick_matmul(compute_capability(device)), only=only)
    elif precision == "fp8":
        use_fp8(transformer, dtype, matmul_dequantised, only=only)
    return transformer


def activation_dtype(precision: str) -> torch.dtype:
    """Return the transformer's type outside its fp8 products."""
    return torch.bfloat16 if precision == "fp8" else pick_dtype(precision)


def check_finite(checkpoint: Checkpoint) -> None:
    """Read every stored value. Errors: SetupError that names the tensors with NaN or infinite ones."""
    bad = [
        f"{name} in the {part} ({count:,} values)"
        for part, file in checkpoint.layout.parts.items()
        for name, tensor in stored_tensors(file).items()
        if (count := sum(_count_not_finite(piece) for piece in tensor.pieces()))
    ]
    if bad:
        more = f" and {len(bad) - 4} more tensors" if len(bad) > 4 else ""
        raise SetupError(
            f"{checkpoint.layout.root}: NaN or infinite weights: {', '.join(bad[:4])}{more}",
            hint="download these files again; if they stay so, the publisher's files are damaged",
        )


def _count_not_finite(piece: Tensor) -> int:
    if not piece.is_floating_point():
        return 0
    values = piece.float() if piece.itemsize == 1 else piece  # eight-bit types have no test of their own
    return values.numel() - int(torch.isfinite(values).sum())


def check_tensors(checkpoint: Checkpoint) -> None:
    """Match every stored tensor with its module on the meta device, and read the tokenizer. Errors: SetupError."""
    transformer = transformer_on_meta(checkpoint.preset, "float32", None, torch.device("cpu"))
    match_tensors(transformer, stored_tensors(checkpoint.layout.transformer), "transformer")
    vae = vae_tensors(checkpoint)
    with torch.device("meta"):
        match_tensors(VAE(infer_vae_config(vae)), vae, "VAE")
    text = text_tensors(checkpoint)
    text_encoder = umt5_on_meta(umt5_config({name: tensor.shape for name, tensor in text.items()}))
    match_tensors(text_encoder, text, "text encoder")
    load_tokenizer(checkpoint.layout.tokenizer)
