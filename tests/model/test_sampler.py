"""Sigma schedule, and noise that depends only on seed, chunk and step."""

import pytest
import torch

from lingbot_cli.model.sampler import seeded_noise, sigma_schedule
from lingbot_cli.presets import PRESETS, V1_STEPS


def test_the_published_first_schedule():
    steps = sigma_schedule(V1_STEPS, 10.0)
    assert steps.timesteps == (999, 978, 947, 825)
    assert steps.sigmas == pytest.approx((0.9999, 0.978971, 0.947909, 0.825853), abs=1e-6)
    assert steps.renoise_sigmas == pytest.approx((0.97883, 0.947693, 0.825193), abs=1e-6)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_every_preset_has_a_falling_schedule(preset):
    steps = sigma_schedule(preset.steps, preset.shift)
    assert len(steps.renoise_sigmas) == len(steps.sigmas) - 1
    assert list(steps.timesteps) == sorted(steps.timesteps, reverse=True)


def test_noise_is_a_function_of_its_three_numbers():
    shape = (16, 3, 4, 6)
    noise = seeded_noise(7)
    assert torch.equal(noise(5, 2, shape), seeded_noise(7)(5, 2, shape))
    others = [seeded_noise(8)(5, 2, shape), noise(4, 2, shape), noise(5, 1, shape)]
    assert not any(torch.equal(noise(5, 2, shape), other) for other in others)
    many = noise(0, 0, (16, 40, 40, 40))
    assert abs(many.mean().item()) < 0.01
    assert abs(many.std().item() - 1) < 0.01
