"""Camera poses, and integration of steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingbot_cli.camera.pose import CameraPose
from tests.support.camera_reference import integrate_steps

angle = st.floats(-180, 180)
stances = st.builds(CameraPose, *[st.floats(-9, 9)] * 3, angle, st.floats(-90, 90), angle)
steps = st.lists(st.tuples(*[st.floats(-3, 3)] * 7), max_size=30)


@given(stances)
def test_a_pose_survives_its_matrix(stance):
    np.testing.assert_allclose(CameraPose.from_matrix(stance.matrix()).matrix(), stance.matrix(), atol=1e-6)


@given(stances)
def test_a_pose_is_rigid(stance):
    rotation = stance.matrix()[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) > 0.999


@given(steps, steps)
def test_integration_may_be_split(first, second):
    whole = integrate_steps(np.array(first + second).reshape(-1, 7))
    np.testing.assert_array_equal(integrate_steps(np.array(first).reshape(-1, 7)), whole[: len(first) + 1])


@given(st.floats(-80, 80), st.floats(-170, 170), st.floats(-90, 90), st.integers(1, 20))
def test_two_halves_of_a_turn_are_the_turn(pitch, yaw, roll, frames):
    half = np.tile([0, 0, 0, yaw / frames, 0, pitch / frames, roll / frames], (frames, 1)) / 2
    target = CameraPose(yaw=yaw, pitch=pitch, roll=roll).matrix()
    np.testing.assert_allclose(integrate_steps(np.concatenate([half, half]))[-1], target, atol=1e-9)


def test_signs():
    right, up, tilted = (integrate_steps([s])[-1] for s in np.eye(7)[[3, 5, 6]] * 90 * [[1], [0.5], [1]])
    np.testing.assert_allclose(right[:3, 2], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(up[:3, 2], [0, -(0.5**0.5), 0.5**0.5], atol=1e-12)
    np.testing.assert_allclose(tilted[:3, 0], [0, 1, 0], atol=1e-12)


def test_a_pitch_stops_at_the_limit_and_comes_back():
    steps = np.zeros((3, 7))
    steps[:, 5] = [120, 10, -20]
    pitch = [CameraPose.from_matrix(p).pitch for p in integrate_steps(steps)]
    np.testing.assert_allclose(pitch, [0, 85, 85, 65], atol=1e-9)


def test_looking_straight_down_can_come_back():
    poses = integrate_steps([[0, 0, 0, 0, 2, 0, 0], [0.05, 0, 0, 0, 0, 0, 0]], CameraPose(pitch=-90))
    assert CameraPose.from_matrix(poses[1]).pitch > -90
    assert poses[2, 2, 3] > 0.04


@pytest.mark.parametrize("pitch", [90, -90])
def test_straight_up_or_down_the_turn_is_the_yaw(pitch):
    found = CameraPose.from_matrix(CameraPose(1, 2, 3, yaw=30, pitch=pitch).matrix())
    assert (found.yaw, found.pitch, found.roll) == pytest.approx((30, pitch, 0))
    assert (found.x, found.y, found.z) == (1, 2, 3)
