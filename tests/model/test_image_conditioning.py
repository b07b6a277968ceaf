"""A condition encoded chunk by chunk equals the encode of the whole video."""

import pytest
import torch

from lingbot_cli.model.image_conditioning import ImageCondition, resize_image
from tests.support.reference import sample_image, tiny_vae


@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_the_bounded_encode_equals_the_full_one(chunk):
    vae = tiny_vae()
    image = resize_image(torch.from_numpy(sample_image()), 16, 32)
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
    condition = ImageCondition(vae, resize_image(torch.from_numpy(sample_image()), 16, 32))
    for _ in range(40):
        last = condition.next(3)
    assert condition._latents_done == 120
    assert torch.equal(last[:, :, 0], last[:, :, 2])
    calls = []
    condition._encode = lambda frames: calls.append(frames)
    condition.next(3)
    assert calls == []


def test_a_picture_is_fitted_to_any_size():
    image = torch.from_numpy(sample_image(54, 96))
    assert resize_image(image, 32, 80).shape == (3, 32, 80)
    assert resize_image(image, 54, 96).sub(image.permute(2, 0, 1).float() / 127.5 - 1).abs().max() < 1e-5


def test_a_large_picture_is_encoded_in_parts_with_the_same_result(monkeypatch):
    image = resize_image(torch.from_numpy(sample_image()), 16, 32)
    whole = ImageCondition(tiny_vae(), image).next(4)
    monkeypatch.setattr("lingbot_cli.model.image_conditioning.default_latent_batch", lambda *_: 1)
    parts = ImageCondition(tiny_vae(), image)
    torch.testing.assert_close(
        torch.cat([parts.next(3), parts.next(1)], 2)[:, 4:], whole[:, 4:], atol=1e-5, rtol=0
    )
