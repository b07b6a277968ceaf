"""A condition encoded chunk by chunk equals the encode of the whole video."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch

from lingbot_cli.model.image_conditioning import ImageCondition, resize_image
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.model.vae_layers import CausalConvCache
from lingbot_cli.presets import PRESETS
from tests.support.reference import sample_image, tiny_vae, tiny_world, walk


@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_the_bounded_encode_equals_the_full_one(chunk):
    vae = tiny_vae()
    image = resize_image(torch.from_numpy(sample_image()), 16, 32, antialias=False)
    frames = 12 * (vae.config.encoder_receptive_field // 4 // 10)
    video = torch.zeros(1, 3, 4 * (frames - 1) + 1, 16, 32)
    video[0, :, 0] = image
    condition = ImageCondition(vae, image)
    made = torch.cat([condition.next(chunk) for _ in range(frames // chunk)], dim=2)
    torch.testing.assert_close(made[:, 4:], vae.encode(video)[:, :, : made.shape[2]], atol=1e-5, rtol=0)
    assert made[:, :4, 0].eq(1).all()
    assert made[:, :4, 1:].eq(0).all()


def test_the_encoder_rests_once_the_image_has_left_its_memory():
    vae = tiny_vae()
    condition = ImageCondition(vae, resize_image(torch.from_numpy(sample_image()), 16, 32, antialias=False))
    for _ in range(40):
        last = condition.next(3)
    assert condition._latents_done == 120
    assert torch.equal(last[:, :, 0], last[:, :, 2])
    assert not condition._cache.frames  # nothing reads what the layers carried
    calls = []
    condition._encode = lambda frames: calls.append(frames)
    condition.next(3)
    assert calls == []


@pytest.mark.parametrize("chunk", [3, 4])
def test_a_layer_runs_until_its_output_is_constant_to_the_same_bits(chunk):
    vae = load_model(prompts=()).vae
    image = resize_image(torch.from_numpy(sample_image()), 64, 112, antialias=False)
    whole, short = ImageCondition(vae, image), ImageCondition(vae, image)
    whole._cache = CausalConvCache()
    fine = (vae.encoder.conv1, *vae.encoder.downsamples[:-1])
    frames = dict.fromkeys(fine, 0)
    with torch.inference_mode(), ExitStack() as hooks:
        expected = [whole.next(chunk) for _ in range(9)]
        for layer in fine:
            hooks.callback(layer.register_forward_pre_hook(count_frames(frames)).remove)
        for index, each in enumerate(expected):
            assert torch.equal(short.next(chunk), each)
            if index == 2:
                assert not {name for name in short._cache.frames if name.startswith("encoder.downsamples.0")}
    # The frames until the output is constant: two more after each convolution in time, and no call for a single one.
    least = [4, 8, 8, 12, 15, 12, 15]
    assert all(0 <= many - few <= 2 for many, few in zip(frames.values(), least, strict=True))


def test_what_the_encoder_carries_is_counted_and_becomes_less():
    preset = PRESETS["lingbot-world-v2-14b-causal-fast"]
    with torch.device("meta"), torch.inference_mode():
        condition = ImageCondition(VAE(VAEConfig(dim=preset.vae_dim)), torch.empty(3, 480, 832))
        carried = []
        for _ in range(8):
            condition.next(preset.chunk)
            condition.release_buffer()
            carried.append(held_bytes(condition._cache))
            assert condition.nbytes == carried[-1]
    assert carried == sorted(carried, reverse=True)
    assert carried[1] < 0.5 * carried[0]
    assert carried[-1] == 0


def held_bytes(cache):
    """Return the bytes of all tensors of a cache."""
    found = 0
    for value in vars(cache).values():
        parts = value.values() if isinstance(value, dict) else [value]
        found += sum(part.untyped_storage().nbytes() for part in parts if isinstance(part, torch.Tensor))
    return found


def count_frames(frames):
    """Return a hook that adds up the frames that reach each layer."""

    def hook(layer, inputs):
        frames[layer] += inputs[0].shape[2]

    return hook


def test_a_picture_is_fitted_to_any_size():
    image = torch.from_numpy(sample_image(54, 96))
    assert resize_image(image, 32, 80, antialias=False).shape == (3, 32, 80)
    same = resize_image(image, 54, 96, antialias=False)
    assert same.sub(image.permute(2, 0, 1).float() / 127.5 - 1).abs().max() < 1e-5


def test_an_antialiased_picture_is_the_mean_of_what_its_pixels_cover():
    stripes = torch.zeros(64, 64, 3, dtype=torch.uint8)
    stripes[:, ::2] = 255  # finer than a pixel of the result
    assert resize_image(stripes, 16, 16, antialias=True)[:, :, 1:-1].abs().max() < 0.02
    point = torch.zeros(64, 64, 3, dtype=torch.uint8)
    point[30, 30] = 255  # the bicubic rule may see nothing of it, or too much
    seen = resize_image(point, 16, 16, antialias=True) + 1
    assert abs(float(seen[0].sum()) - 2 / 16) < 1e-3


def test_a_large_picture_is_encoded_in_parts_with_the_same_result():
    image = resize_image(torch.from_numpy(sample_image()), 16, 32, antialias=False)
    whole = ImageCondition(tiny_vae(), image).next(4)
    parts = ImageCondition(tiny_vae(), image, batch=1)
    torch.testing.assert_close(
        torch.cat([parts.next(3), parts.next(1)], 2)[:, 4:], whole[:, 4:], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("tf32", [False, True])
def test_only_the_encoder_computes_in_tf32(tf32, monkeypatch):
    seen = []
    world = replace(tiny_world(), encode_tf32=tf32)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    for name in ("encode", "decode"):
        whole = getattr(type(world.vae), name)
        monkeypatch.setattr(
            type(world.vae),
            name,
            lambda *args, name=name, whole=whole: (
                seen.append((name, torch.backends.cudnn.allow_tf32)) or whole(*args)
            ),
        )
    Session(world, sample_image(), height=32, width=32).step(walk(1)[0])
    assert set(seen) == {("encode", tf32), ("decode", False)}
    with pytest.raises(RuntimeError), world.encoding():
        raise RuntimeError
    assert not torch.backends.cudnn.allow_tf32
