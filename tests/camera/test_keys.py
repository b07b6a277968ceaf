"""Recorded paths of key strings."""

import numpy as np
import pytest

from lingbot_cli.camera.keys import LETTERS, key_motion, wasd_held
from tests.support.camera_reference import KEYS, integrate_steps, recorded


def steps(actions: str) -> np.ndarray:
    parts = [part.rsplit("-", 1) for part in actions.split(",")]
    return np.concatenate([np.tile(key_motion("" if k == "none" else k), (int(n), 1)) for k, n in parts])


@pytest.mark.parametrize("case", KEYS, ids=lambda c: c["id"])
def test_published_keys(case):
    poses = integrate_steps(steps(case["actions"]))
    assert len(poses) == case["frames"] + 1
    np.testing.assert_allclose(poses, recorded()[case["id"] + "_c2w"], atol=1e-9)


def test_a_look_that_would_leave_the_limit_is_dropped():
    forward = integrate_steps(np.tile(key_motion("i"), (60, 1)))[:, :3, 2]
    pitch = np.degrees(np.arcsin(-forward[:, 1]))
    np.testing.assert_allclose(pitch[42:], 84.0)


def test_letters_count_once_and_opposites_cancel():
    assert not any(key_motion("wsadqeikjl"))
    assert key_motion("ww") == key_motion("w")
    assert sorted(LETTERS) == sorted("wasdqeikjl")


def test_up_and_down_are_the_world_s():
    poses = integrate_steps(np.stack([key_motion("i")] * 10 + [key_motion("e")] * 4 + [key_motion("q")]))
    np.testing.assert_allclose(poses[-1, :3, 3], [0, -0.15, 0], atol=1e-12)


def test_held_is_in_the_published_order():
    assert wasd_held("dw") == (True, False, False, True)
