"""Loading of a smaller decoder in place of the VAE's own, whose colours it must have."""

from pathlib import Path

import torch
from torch import Tensor

from lingbot_cli.checkpoints.tensor_names import vae_name
from lingbot_cli.errors import SetupError
from lingbot_cli.model.loading.load_vae import DECODER_PREFIXES, fill_vae, rename_vae_tensors
from lingbot_cli.model.loading.tensor_io import fill_module, stored_tensors
from lingbot_cli.model.tiny_decoder import TinyDecoder
from lingbot_cli.model.vae import VAE

MAX_COLOUR_ERROR = 20.0
"""Largest mean difference from the VAE's own decoder, of 255; the wrong normalisation differs by 21 to 25."""
CLEARLY_BETTER = 0.6
"""Largest share of the other normalisation's error at which a decoder's kind is decided by content."""
_PATTERN_SIZE = 128

Decoder = TinyDecoder | VAE


def load_decoder(
    file: Path, device: torch.device, dtype: torch.dtype, own: VAE | None, own_device: torch.device
) -> Decoder:
    """Load a tiny decoder (TAEHV) or the decoder of a VAE such as LightVAE, from a safetensors or `.pth` file.

    `own`: the model's VAE, with which the colours are compared; None for random weights. The names and shapes of
    both kinds of tiny decoders are the same, only their latents differ.
    Errors: SetupError for other tensors and for a decoder whose colours would be wrong.
    """
    stored = stored_tensors(file)
    if "decoder.1.weight" in stored:
        named = _takes_raw_latents(file)
        tensors = {name: tensor for name, tensor in stored.items() if name.startswith("decoder.")}
        with torch.device("meta"):
            tiny = TinyDecoder(raw_latents=bool(named)).to(dtype)
        fill_module(tiny, tensors, part="tiny decoder", device_of=lambda _: device)
        tiny.eval()
        if own is not None:
            _choose_latents(tiny, file, named, own, own_device)
        elif named is None:
            raise _unknown_latents(file)
        return tiny
    if not any(vae_name(name).startswith("decoder.conv1.") for name in stored):
        raise SetupError(
            f"--decoder {file}: holds no decoder of Wan 2.1 latents",
            hint="name a taew2_1, lighttaew2_1 or lightvaew2_1 file",
        )
    vae = fill_vae(
        rename_vae_tensors(stored),
        part="decoder",
        device_of=lambda _: device,
        dtype_of=lambda name: dtype if name.startswith(DECODER_PREFIXES) else torch.float32,
    )
    del vae.encoder, vae.conv1  # the model's own VAE encodes
    if own is not None and not (error := colour_error(vae, own, own_device)) <= MAX_COLOUR_ERROR:
        raise _wrong_colours(file, error)
    return vae


@torch.inference_mode()
def colour_error(decoder: Decoder, own: VAE, own_device: torch.device) -> float:
    """Return the mean difference of a decoder from the VAE's own on a test pattern, of 255."""
    latents = own.encode(colour_pattern().to(own_device))
    expected, shown = (each.decode(latents).float().cpu() for each in (own, decoder))
    return float((shown - expected).abs().mean() * 127.5)


def colour_pattern() -> Tensor:
    """Return a frame [1, 3, 1, H, W] in −1…1 of smooth colours and a few edges."""
    rows, columns = torch.meshgrid(*[torch.linspace(0, 1, _PATTERN_SIZE)] * 2, indexing="ij")
    waves = [torch.sin(3 * rows + 4 * columns + phase) for phase in (0.0, 2.0, 4.0)]
    pattern = 0.5 * torch.stack(waves)
    pattern[:, 32:64, 32:64] = torch.tensor([0.6, -0.2, -0.5])[:, None, None]
    pattern[:, 72:112, 64:104] = torch.tensor([-0.5, 0.1, 0.5])[:, None, None]
    return pattern[None, :, None]


def _choose_latents(
    tiny: TinyDecoder, file: Path, named: bool | None, own: VAE, own_device: torch.device
) -> None:
    """Set the latents on which a tiny decoder was trained, by its colours; its name must not contradict them."""
    errors = {}
    for tiny.raw_latents in (False, True):
        errors[tiny.raw_latents] = colour_error(tiny, own, own_device)
    best = min(errors, key=lambda raw: errors[raw])
    if not errors[best] <= MAX_COLOUR_ERROR:
        raise _wrong_colours(file, errors[best])
    clear = errors[best] < CLEARLY_BETTER * errors[not best]
    if named is None and not clear:
        raise _unknown_latents(file)
    if named is not None and named != best and clear:
        names = {False: "taew2_1", True: "lighttaew2_1"}
        raise SetupError(
            f"--decoder {file}: named as {names[named]}, but its colours are right only as {names[best]}",
            hint=f"rename it to {names[best]}{file.suffix}",
        )
    tiny.raw_latents = best if named is None else named


def _takes_raw_latents(file: Path) -> bool | None:
    """Return whether a file's published name is one for latents before normalisation; None for any other name."""
    name = file.name.lower()
    return True if "lighttae" in name else False if "taew2" in name else None


def _unknown_latents(file: Path) -> SetupError:
    return SetupError(
        f"--decoder {file}: neither its name nor its colours say whether it is a taew2_1 or a lighttaew2_1 decoder",
        hint="name the file as published: taew2_1… or lighttaew2_1…",
    )


def _wrong_colours(file: Path, error: float) -> SetupError:
    return SetupError(
        f"--decoder {file}: its colours differ from those of the model's own decoder by {error:.0f} of 255",
        hint="use a decoder of Wan 2.1 latents, with a model that has the VAE of Wan 2.1",
    )
