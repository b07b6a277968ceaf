"""Smaller decoders: the latents they take by name and content, and files whose colours would be wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lingbot_cli.errors import SetupError
from lingbot_cli.model.loading.load_decoder import Decoder, colour_error, load_decoder
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.model.tiny_decoder import TinyDecoder
from lingbot_cli.model.vae import VAE
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.fitted_decoder import built_in_vae, fitted_tensors
from tests.support.reference import sample_image, walk
from tests.support.widen import widen_vae

CPU = torch.device("cpu")


def load(file: Path) -> Decoder:
    return load_decoder(file, CPU, torch.float32, built_in_vae(), CPU)


@pytest.mark.parametrize("raw", [False, True])
def test_a_name_that_does_not_tell_is_decided_by_the_colours(raw: bool, tmp_path: Path) -> None:
    save_file(fitted_tensors(raw=raw), tmp_path / "preview.safetensors")
    decoder = load(tmp_path / "preview.safetensors")
    assert isinstance(decoder, TinyDecoder)
    assert decoder.raw_latents == raw
    assert colour_error(decoder, built_in_vae(), CPU) < 12


@pytest.mark.parametrize(("raw", "name"), [(False, "lighttaew2_1"), (True, "taew2_1")])
def test_a_wrong_name_is_refused_with_the_right_one(raw: bool, name: str, tmp_path: Path) -> None:
    save_file(fitted_tensors(raw=raw), tmp_path / f"{name}.safetensors")
    right = "lighttaew2_1" if raw else "taew2_1"
    with pytest.raises(SetupError, match=f"named as {name}, but its colours are right only as {right}"):
        load(tmp_path / f"{name}.safetensors")


def test_a_decoder_of_another_vae_is_refused(tmp_path: Path) -> None:
    tensors = fitted_tensors()
    tensors["decoder.1.weight"] = tensors["decoder.1.weight"].roll(5, dims=1)  # latents in another order
    for name in ("taew2_1", "taehv"):
        save_file(tensors, tmp_path / f"{name}.safetensors")
        with pytest.raises(SetupError, match=r"differ from those of the model's own decoder by \d+ of 255"):
            load(tmp_path / f"{name}.safetensors")
    tensors["decoder.22.bias"] = torch.full((3,), torch.nan)
    save_file(tensors, tmp_path / "taew2_1.safetensors")
    with pytest.raises(SetupError, match="by nan of 255"):
        load(tmp_path / "taew2_1.safetensors")
    save_file({"encoder.conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(SetupError, match="holds no decoder of Wan"):
        load(tmp_path / "other.safetensors")


def test_a_vae_of_another_width_decodes_while_the_models_own_encodes(tmp_path: Path) -> None:
    own = built_in_vae()
    wide = widen_vae(own.state_dict(), replace(own.config, dim=24), seed=0)
    file = tmp_path / "lightvaew2_1.safetensors"
    save_file({name: value.contiguous() for name, value in wide.state_dict().items()}, file)
    model = load_model(None, ModelOptions(decoder=str(file)))
    assert isinstance(model.decoder, VAE)
    assert not hasattr(model.decoder, "encoder")
    assert model.decode_device == CPU
    plain = replace(model, decoder=None)
    shown = []
    for world in (model, plain):
        session = Session(world, sample_image(32, 48), height=32, width=48)
        parts = [session.denoise(control) for control in walk(2)]
        shown.append((torch.cat(parts, dim=1), torch.cat([session.decode(part) for part in parts])))
    (latents, frames), (own_latents, own_frames) = shown
    assert torch.equal(latents, own_latents)
    difference = (frames.float() - own_frames.float()).abs().mean()
    assert 0 < difference < 10
    reference = wide.eval().requires_grad_(False)
    with torch.inference_mode():
        expected = reference.decode(latents[None])[0]
    pixels = ((expected.float() + 1.0) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0)
    assert torch.equal(pixels[:9], frames[:9])


def test_a_vae_with_wrong_colours_is_refused(tmp_path: Path) -> None:
    tensors = {name: value.contiguous() for name, value in built_in_vae().state_dict().items()}
    tensors["decoder.head.2.weight"] = tensors["decoder.head.2.weight"].flip(0)  # blue for red
    tensors["decoder.head.2.bias"] = tensors["decoder.head.2.bias"].flip(0)
    save_file(tensors, tmp_path / "lightvaew2_1.safetensors")
    with pytest.raises(SetupError, match="its colours differ"):
        load(tmp_path / "lightvaew2_1.safetensors")
