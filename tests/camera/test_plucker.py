"""Recorded Plücker rays, pixel by pixel and folded."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from lingbot_cli.camera.interpolate import resample_path
from lingbot_cli.camera.plucker import plucker_rays, ray_directions
from lingbot_cli.camera.pose import clip_scale, relative_poses
from tests.support.camera_reference import DATA, recorded

CASES = ["v1-act-control", "v1-full-attention", "v1-window-and-sink", "v2-window-and-sink"]


def test_recorded_rays():
    made = plucker_rays(
        recorded()["plucker_c2w"],
        np.repeat(recorded()["plucker_intrinsics"] * [832 / 80, 10, 832 / 80, 10], 2, 0),
        48,
        80,
    )
    pixels = made.reshape(6, 8, 8, 2, 6, 10).transpose(3, 4, 1, 5, 2, 0).reshape(2, 48, 80, 6)
    np.testing.assert_allclose(pixels, recorded()["plucker_rays"], atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_recorded_cases(name):
    case = load_file(DATA / "cases" / f"fast-{name}" / "expected.safetensors")
    count, h, w = case["condition"].shape[1:]
    poses = resample_path(case["poses"], count)
    actions = case["wasd"][::4] if "wasd" in case else None
    intrinsics = np.repeat(case["intrinsics"], count, 0)
    made = plucker_rays(relative_poses(poses, scale=clip_scale(poses)), intrinsics, h * 8, w * 8, actions)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, case["plucker"], atol=1e-5)


def test_intrinsics_may_change_inside_a_chunk():
    poses = np.stack([np.eye(4)] * 2)
    wide, narrow = [300, 300, 416, 240], [900, 900, 416, 240]
    both = plucker_rays(poses, np.array([wide, narrow]), 48, 80)
    np.testing.assert_array_equal(both[:, 1], plucker_rays(poses[:1], np.array([narrow]), 48, 80)[:, 0])
    assert not np.allclose(both[:, 0], both[:, 1])


def test_shared_directions_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        ray_directions((500.0, 500.0, 416.0, 240.0), 48, 80)[0] = 0
