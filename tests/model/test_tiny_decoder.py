"""The tiny decoder with the published names and shapes: streaming, loading, use in a session."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from lingbot_cli.errors import SetupError
from lingbot_cli.model.loading.load_decoder import load_decoder
from lingbot_cli.model.session import Session
from lingbot_cli.model.tiny_decoder import TinyDecoder
from lingbot_cli.model.vae import LATENT_MEAN, LATENT_STD
from lingbot_cli.model.vae_layers import CausalConvCache
from tests.support.reference import sample_image, tiny_world, walk

CPU = torch.device("cpu")


def published() -> dict[str, torch.Tensor]:
    """Return random tensors named and shaped as in the published file, one of its encoder included."""
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.0.weight": (64, 3, 3, 3),
        "decoder.1.weight": (256, 16, 3, 3),
        "decoder.1.bias": (256,),
        "decoder.22.weight": (3, 64, 3, 3),
        "decoder.22.bias": (3,),
    }
    for first, width, after, times in ((3, 256, 128, 1), (9, 128, 64, 2), (15, 64, 64, 2)):
        for block in range(first, first + 3):
            for place, wide in ((0, 2 * width), (2, width), (4, width)):
                shapes[f"decoder.{block}.conv.{place}.weight"] = (width, wide, 3, 3)
                shapes[f"decoder.{block}.conv.{place}.bias"] = (width,)
        shapes[f"decoder.{first + 4}.conv.weight"] = (times * width, width, 1, 1)
        shapes[f"decoder.{first + 5}.weight"] = (after, width, 3, 3)
    draw = torch.Generator().manual_seed(0)
    spread = {name: max(9, torch.Size(shape[1:]).numel()) ** -0.5 for name, shape in shapes.items()}
    return {name: torch.randn(shape, generator=draw) * spread[name] for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "taew2_1.safetensors"
    save_file(published(), path)
    return path


@pytest.fixture(scope="module")
def decoder(file) -> TinyDecoder:
    return load_decoder(file, CPU, torch.float32, None, CPU)


@torch.inference_mode()
def test_a_stream_shows_what_the_whole_shows(decoder):
    latents = torch.randn(1, 16, 7, 4, 6, generator=torch.Generator().manual_seed(1))
    whole, carry = decoder.decode(latents), CausalConvCache()
    parts = [decoder.decode(part, carry) for part in latents.split((1, 3, 1, 2), dim=2)]
    assert whole.shape == (1, 3, 25, 32, 48)
    assert [part.shape[2] for part in parts] == [1, 12, 4, 8]
    torch.testing.assert_close(torch.cat(parts, dim=2), whole, atol=1e-5, rtol=0)
    assert whole.std() > 0.05


@torch.inference_mode()
def test_it_sees_no_further_back_than_it_says(decoder):
    latents = torch.randn(1, 16, 10, 2, 2, generator=torch.Generator().manual_seed(2))
    changed = latents.clone()
    changed[:, :, 0] += 5
    shown, other = decoder.decode(latents), decoder.decode(changed)
    same = (shown == other).flatten(3).all(dim=3).all(dim=1)[0]
    first_same = 1 + 4 * decoder.decoder_receptive_field
    assert same[first_same:].all()
    assert not same[first_same - 8 : first_same].all()


def test_a_pickle_of_tensors_serves_too(decoder, tmp_path):
    torch.save(published(), tmp_path / "taew2_1.pth")
    other = load_decoder(tmp_path / "taew2_1.pth", CPU, torch.float32, None, CPU)
    assert all(torch.equal(a, b) for a, b in zip(decoder.parameters(), other.parameters(), strict=True))


@torch.inference_mode()
def test_the_name_decides_between_normalised_and_raw_latents(decoder, tmp_path):
    save_file(published(), tmp_path / "lighttaew2_1.safetensors")
    light = load_decoder(tmp_path / "lighttaew2_1.safetensors", CPU, torch.float32, None, CPU)
    latents = torch.randn(1, 16, 2, 4, 6, generator=torch.Generator().manual_seed(4))
    mean, std = (torch.tensor(each).view(1, 16, 1, 1, 1) for each in (LATENT_MEAN, LATENT_STD))
    torch.testing.assert_close(light.decode(latents), decoder.decode(latents * std + mean))
    assert not torch.equal(light.decode(latents), decoder.decode(latents))
    save_file(published(), tmp_path / "tiny.safetensors")
    with pytest.raises(SetupError, match="neither its name nor its colours"):
        load_decoder(tmp_path / "tiny.safetensors", CPU, torch.float32, None, CPU)


def test_another_file_is_refused(tmp_path):
    save_file({"decoder.1.weight": torch.zeros(2)}, tmp_path / "taew2_1-other.safetensors")
    with pytest.raises(SetupError, match="tiny decoder's tensors do not match"):
        load_decoder(tmp_path / "taew2_1-other.safetensors", CPU, torch.float32, None, CPU)


def test_a_session_shows_its_pictures_and_goes_on_the_same(decoder):
    def films(world):
        session = Session(world, sample_image(32, 48), height=32, width=48)
        latents = [session.denoise(control) for control in walk(2)]
        return torch.cat(latents, dim=1), torch.cat([session.decode(part) for part in latents])

    plain, shown = films(tiny_world())
    same, rough = films(replace(tiny_world(), decoder=decoder))
    assert torch.equal(plain, same)
    assert rough.shape == shown.shape
    assert not torch.equal(rough, shown)
