"""Loading of the VAE."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.checkpoints.config_values import VAE_LEVELS, level_widths
from lingbot_cli.checkpoints.headers import DOWNLOAD_AGAIN, read_json
from lingbot_cli.checkpoints.tensor_names import vae_name
from lingbot_cli.errors import SetupError
from lingbot_cli.model.accel.vae_format import CHANNELS_LAST, use_format
from lingbot_cli.model.loading.tensor_io import OnLoadProgress, StoredTensor, fill_module, stored_tensors
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
    return fill_vae(
        vae_tensors(checkpoint),
        _latent_statistics(checkpoint),
        part="VAE",
        device_of=lambda name: (decoder_on or device) if name.startswith(DECODER_PREFIXES) else device,
        dtype_of=lambda name: decoder_dtype if name.startswith(DECODER_PREFIXES) else torch.float32,
        report=report,
    )


def fill_vae(
    tensors: Mapping[str, StoredTensor],
    statistics: Mapping[str, tuple[float, ...]] | None = None,
    *,
    part: str,
    device_of: Callable[[str], torch.device],
    dtype_of: Callable[[str], torch.dtype],
    report: OnLoadProgress | None = None,
) -> VAE:
    """Load a VAE of the widths of its tensors, which have the original names. Errors: those of `fill_module`."""
    with torch.device("meta"):
        vae = VAE(infer_vae_config(tensors, statistics))
    fill_module(vae, tensors, part=part, device_of=device_of, dtype_of=dtype_of, report=report)
    if vae.decode_device.type == "cpu":
        use_format(vae.decoder, CHANNELS_LAST)
    return vae.eval()


def infer_vae_config(
    tensors: Mapping[str, StoredTensor], statistics: Mapping[str, tuple[float, ...]] | None = None
) -> VAEConfig:
    """Infer widths from tensors of the original names. Errors: SetupError if they are not a Wan VAE's."""
    first = tensors.get("encoder.conv1.weight")
    if first is None:
        raise SetupError("VAE: encoder.conv1.weight is missing", hint="download the VAE again")
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    encoder_widths = level_widths(shapes, "encoder.downsamples")
    config = VAEConfig(dim=first.shape[0], num_res_blocks=len(encoder_widths) // VAE_LEVELS)
    encoder = _multipliers(encoder_widths, config.dim, config.num_res_blocks)
    decoder_widths = level_widths(shapes, "decoder.upsamples")
    decoder = _multipliers(decoder_widths, config.dim, config.num_res_blocks + 1)[::-1]
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


def _multipliers(widths: list[int], dim: int, blocks: int) -> tuple[int, ...]:
    """Return the channel multiplier of each level of the encoder or decoder, in the order of its layers."""
    return tuple(width // dim for width in widths[:: max(blocks, 1)])


def vae_tensors(checkpoint: Checkpoint) -> dict[str, StoredTensor]:
    """Return the VAE's tensors under their original names, from either naming."""
    return rename_vae_tensors(stored_tensors(checkpoint.layout.vae))


def rename_vae_tensors(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Return a VAE's tensors under their original names, from either naming."""
    last_blocks = [name for name in tensors if name.startswith("decoder.up_blocks.0.resnets.")]
    blocks = max((int(name.split(".")[4]) for name in last_blocks), default=2)
    return {vae_name(name, blocks): tensor for name, tensor in tensors.items()}


def _latent_statistics(checkpoint: Checkpoint) -> dict[str, tuple[float, ...]]:
    """Return the latents' mean and standard deviation from the VAE's config, if it has them."""
    file = checkpoint.layout.vae / "config.json"
    if not file.is_file():
        return {}
    config = read_json(file)
    statistics = {key: config[key] for key in ("latents_mean", "latents_std") if key in config}
    for key, values in statistics.items():
        numbers = isinstance(values, list) and all(type(each) in (int, float) for each in values)
        if not numbers or len(values) != VAEConfig.z_dim or (key == "latents_std" and min(values) <= 0):
            raise SetupError(f"{file}: {key} is {str(values)[:40]!r}", hint=DOWNLOAD_AGAIN)
    return {key: tuple(values) for key, values in statistics.items()}
