"""Recorded resampled and relative poses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingbot_cli.camera.interpolate import resample_path, sample_path
from lingbot_cli.camera.pose import FIXED_SCALE, CameraPose, clip_scale, invert_poses, relative_poses
from tests.support.camera_reference import TRAJECTORIES, integrate_steps, recorded


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_recorded_trajectories(name):
    source = recorded()[name + "_source_c2w"]
    poses = resample_path(source, len(recorded()[name + "_resampled_c2w"]))
    np.testing.assert_allclose(poses, recorded()[name + "_resampled_c2w"], atol=1e-5)
    np.testing.assert_allclose(
        relative_poses(poses, scale=1.0), recorded()[name + "_relative_raw"], atol=1e-5
    )
    unit = relative_poses(poses, scale=clip_scale(poses))
    np.testing.assert_allclose(unit, recorded()[name + "_relative_unit"], atol=1e-5)


@given(st.integers(1, 9), st.sampled_from(TRAJECTORIES))
def test_chunk_by_chunk_is_all_at_once(cut, name):
    poses = recorded()[name + "_source_c2w"]
    parts = [relative_poses(poses[:cut]), relative_poses(poses[cut:], poses[cut - 1])]
    np.testing.assert_array_equal(np.concatenate(parts), relative_poses(poses))


def test_one_latent_frame_of_walking_is_one_unit():
    poses = integrate_steps(np.tile([0.05, 0, 0, 0, 0, 0, 0], (8, 1)))[::4]
    np.testing.assert_allclose(relative_poses(poses)[1:, 2, 3], 1.0, atol=1e-4)
    assert clip_scale(poses) == pytest.approx(FIXED_SCALE, rel=1e-4)


def test_a_still_camera_has_scale_one():
    assert clip_scale(np.stack([np.eye(4)] * 3)) == 1.0


def test_inverse():
    pose = CameraPose(1, 2, 3, 40, 50, 60).matrix()
    np.testing.assert_allclose(invert_poses(pose) @ pose, np.eye(4), atol=1e-12)


def test_whole_rows_are_exact():
    source = recorded()["traj_00_source_c2w"]
    np.testing.assert_array_equal(sample_path(source, np.arange(len(source))), source)
