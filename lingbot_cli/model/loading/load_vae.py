"""Loading of the VAE and of the tiny decoder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.checkpoints.headers import read_json
from lingbot_cli.checkpoints.tensor_names import vae_name
from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.model.loading.tensor_io import OnLoadProgress, StoredTensor, fill_module, stored_tensors
from lingbot_cli.model.tiny_decoder import TinyDecoder
from lingbot_cli.model.vae import VAE, VAEConfig

DECODER_PREFIXES = ("decoder.", "conv2.")
"""Names of the parameters that only decoding needs; the others encode and stay in float32 (model §9)."""


def load_vae(
    checkpoint: Checkpoint,
    device: torch.device,
    decoder_dtype: torch.dtype,
    report: OnLoadProgress | None = None,
    *,
    decoder_on: torch.device | None = None,
) -> VAE:
    """Load the VAE: its encoder in float32, its decoder in `decoder_dtype` and, if given, on its own device."""
    tensors = vae_tensors(checkpoint)
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
    """Infer widths from tensors of the original names. Errors: SetupError if they are not a Wan VAE's."""
    first = tensors.get("encoder.conv1.weight")
    if first is None:
        raise SetupError("VAE: encoder.conv1.weight is missing", hint="download the VAE again")
    blocks = sum(
        name.startswith("encoder.downsamples.") and name.endswith(".residual.2.weight") for name in tensors
    )
    config = VAEConfig(dim=first.shape[0], num_res_blocks=blocks // 4)
    encoder = _multipliers(tensors, "encoder.downsamples", config.dim, config.num_res_blocks)
    decoder = _multipliers(tensors, "decoder.upsamples", config.dim, config.num_res_blocks + 1)[::-1]
    if (
        len(encoder) == len(decoder) == len(config.dim_mult)
    ):  # else tensors are missing, which loading reports
        config = replace(config, dim_mult=encoder, decoder_mult=decoder)
    statistics = statistics or {}
    return replace(
        config,
        latents_mean=statistics.get("latents_mean", config.latents_mean),
        latents_std=statistics.get("latents_std", config.latents_std),
    )


def _multipliers(tensors: Mapping[str, StoredTensor], part: str, dim: int, blocks: int) -> tuple[int, ...]:
    """Return the channel multiplier of each level of the encoder or decoder, in the order of its layers."""
    widths = sorted(
        (int(name.split(".")[2]), tensor.shape[0])
        for name, tensor in tensors.items()
        if name.startswith(f"{part}.") and name.endswith(".residual.2.weight")
    )
    return tuple(width // dim for _, width in widths[:: max(blocks, 1)])


def vae_tensors(checkpoint: Checkpoint) -> dict[str, StoredTensor]:
    """Return the VAE's tensors under their original names, from either naming."""
    tensors = stored_tensors(checkpoint.layout.vae)
    last_blocks = [name for name in tensors if name.startswith("decoder.up_blocks.0.resnets.")]
    blocks = max((int(name.split(".")[4]) for name in last_blocks), default=2)
    return {vae_name(name, blocks): tensor for name, tensor in tensors.items()}


def load_tiny_decoder(
    file: str | Path | None, device: torch.device, dtype: torch.dtype
) -> TinyDecoder | None:
    """Load a tiny decoder from a safetensors or `.pth` file, which may hold its encoder too; None for no file.

    Its name says which latents it was trained on: the tensors of both kinds have the same names and shapes.
    Errors: UsageError for a missing file and a name that does not say it, SetupError for other tensors.
    """
    if file is None:
        return None
    path = Path(file)
    if not path.is_file():
        raise UsageError(
            f"--tiny-decoder {path}: no such file", hint="name taew2_1.safetensors or taew2_1.pth"
        )
    raw = _takes_raw_latents(path)
    tensors = {name: tensor for name, tensor in stored_tensors(path).items() if name.startswith("decoder.")}
    with torch.device("meta"):
        decoder = TinyDecoder(raw_latents=raw)
    fill_module(decoder, tensors, part="tiny decoder", device_of=lambda _: device, dtype_of=lambda _: dtype)
    return decoder.eval()


def _takes_raw_latents(file: Path) -> bool:
    """Return whether a tiny decoder's file is one for latents before normalisation, by its published name."""
    name = file.name.lower()
    if "lighttae" in name:
        return True
    if "taew2" in name or "taehv" in name:
        return False
    raise UsageError(
        f"--tiny-decoder {file}: the name does not say whether it is a taew2_1 or a lighttaew2_1 decoder, and the "
        "wrong one gives wrong colours",
        hint="name the file as published: taew2_1… or lighttaew2_1…",
    )


def _latent_statistics(checkpoint: Checkpoint) -> dict[str, tuple[float, ...]]:
    """Return the latents' mean and standard deviation from the VAE's config, if it has them."""
    file = checkpoint.layout.vae / "config.json"
    if not file.is_file():
        return {}
    config = read_json(file)
    return {key: tuple(config[key]) for key in ("latents_mean", "latents_std") if key in config}
