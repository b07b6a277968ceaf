"""Quaternions of rotations about any axis, and interpolation along the shortest arc."""

import numpy as np
import pytest

from lingbot_cli.camera.interpolate import sample_path, sample_rows, slerp, to_quaternions, to_rotations

AXES = np.array(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 2, 3], [-3, 1, 2], [2, -3, 1], [1, 1, -5], [0, -1, 1]], float
)
AXES /= np.linalg.norm(AXES, axis=1, keepdims=True)
ANGLES = np.radians([0, 1e-7, 1, 45, 90, 120, 179, 180])


def rotation(axis, angle):
    """Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def quaternion(axis, angle):
    return np.array([np.cos(angle / 2), *(np.sin(angle / 2) * axis)])


def test_rotations_about_any_axis():
    turns = np.array([[rotation(axis, angle) for angle in ANGLES] for axis in AXES])
    quats = np.array([[quaternion(axis, angle) for angle in ANGLES] for axis in AXES])
    found = to_quaternions(turns)
    assert found.shape == (8, 8, 4)
    # At 180 degrees q and -q are the same rotation.
    np.testing.assert_allclose(np.abs(np.sum(found * quats, -1)), 1, atol=1e-12)
    np.testing.assert_allclose(found[:, :-1], quats[:, :-1], atol=1e-9)
    assert (found[..., 0] >= 0).all()
    np.testing.assert_allclose(to_rotations(quats), turns, atol=1e-12)
    np.testing.assert_allclose(to_rotations(quats[3, 4]), turns[3, 4], atol=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("whole", [0, 1e-9, 10, 150])
def test_a_share_of_an_arc_is_that_share_of_its_angle(whole, sign):
    axis, shares = AXES[3], np.array([0, 0.25, 0.5, 1])
    start = quaternion(axis, 0.3)
    end = sign * quaternion(axis, 0.3 + np.radians(whole))
    found = slerp(np.tile(start, (4, 1)), np.tile(end, (4, 1)), shares)
    expected = [quaternion(axis, 0.3 + share * np.radians(whole)) for share in shares]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def path():
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 0, 3] = [0, 1, 3]
    poses[1, :3, :3], poses[2, :3, :3] = rotation(AXES[1], 0.4), rotation(AXES[1], 1.0)
    return poses


def test_a_path_between_and_beyond_its_rows():
    poses = path()
    made = sample_path(poses, np.array([-1, 0, 0.5, 1.25, 2, 2.5]), beyond=True)
    np.testing.assert_allclose(made[:, 0, 3], [0, 0, 0.5, 1.5, 3, 4])
    angles = np.arctan2(made[:, 0, 2], made[:, 0, 0])
    np.testing.assert_allclose(angles, [0, 0, 0.2, 0.55, 1, 1.3], atol=1e-12)
    np.testing.assert_array_equal(made[[1, 4]], poses[[0, 2]])
    held = sample_path(poses, np.array([2.5, 9]))
    np.testing.assert_array_equal(held, poses[[2, 2]])
    np.testing.assert_array_equal(sample_path(poses[:1], np.array([0.0, 3]), beyond=True), poses[[0, 0]])


def test_rows_between_and_beyond():
    values = np.array([[0.0, 10], [1, 20], [3, 60]])
    found = sample_rows(values, np.array([-2, 0.25, 1, 1.5, 9]))
    np.testing.assert_allclose(found, [[0, 10], [0.25, 12.5], [1, 20], [2, 40], [3, 60]])


def test_one_rotation_without_further_axes():
    for axis in AXES:
        found = to_quaternions(rotation(axis, 2.0))
        assert found.shape == (4,)
        np.testing.assert_allclose(found, quaternion(axis, 2.0), atol=1e-12)
