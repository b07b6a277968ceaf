"""Geometry of orbits, curves and aims."""

import numpy as np
import pytest

from lingbot_cli.camera.named_paths import Aim, curve_path, orbit_path
from lingbot_cli.camera.pose import CameraPose

START = CameraPose(1, 2, 3, yaw=90, pitch=10, roll=5)
FLAT = CameraPose(yaw=0)


def rows(poses):
    return np.array([(p.x, p.y, p.z, p.yaw, p.pitch, p.roll) for p in poses])


def test_an_orbit_begins_where_it_starts_and_circles_its_point():
    made = rows(orbit_path(START, np.array([0, 0.5, 1]), angle=180, radius=2, up=0))
    # Heading along x, the point is 2 ahead at x 3.
    np.testing.assert_allclose(made[:, :4], [[1, 2, 3, 90], [3, 2, 1, 0], [5, 2, 3, -90]], atol=1e-12)
    np.testing.assert_allclose(made[:, 4:], [[10, 5]] * 3)


def test_an_orbit_that_rises_keeps_the_height_of_its_point():
    made = rows(orbit_path(START, np.array([0.0, 0.5]), angle=0, radius=2, up=1))
    above = 2 * np.tan(np.radians(10))
    np.testing.assert_allclose(made[1, [1, 4]], [1.5, np.degrees(np.arctan2(above - 0.5, 2))])


def test_a_curve_ends_at_its_last_key_and_adds_its_turns():
    made = rows(curve_path(START, np.array([0.0, 1]), [(1, 2, 3, 10, 20, 30)]))
    np.testing.assert_allclose(made[0], [1, 2, 3, 90, 10, 5])
    np.testing.assert_allclose(made[1], [2, -1, 1, 100, 30, 35], atol=1e-9)
    made = rows(curve_path(START, np.array([0.0, 0.5, 1]), [(0, 0, 0, 0, -200, 0)]))
    np.testing.assert_allclose(made[:, 4], [10, -85, -85])


def test_a_curve_leaves_and_arrives_in_the_direction_of_its_first_and_last_keys():
    keys = [(1, 0, 0, 0, 0, 0), (1, 1, 0, 0, 0, 0), (2, 1, 0, 0, 0, 0)]
    made = rows(curve_path(FLAT, np.linspace(0, 1, 4001), keys))[:, [2, 0]]
    for step in (made[1] - made[0], made[-1] - made[-2]):
        np.testing.assert_allclose(step / np.linalg.norm(step), [1, 0], atol=5e-3)


def test_a_curve_between_two_places_is_straight():
    made = rows(curve_path(FLAT, np.linspace(0, 1, 5), [(4, 0, 0, 0, 0, 0)]))
    np.testing.assert_allclose(made[:, 2], [0, 1, 2, 3, 4], atol=1e-3)


def test_a_curve_of_one_place_stays_there():
    made = rows(curve_path(START, np.array([0.0, 0.5, 1]), [(0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0)]))
    np.testing.assert_allclose(made, [[1, 2, 3, 90, 10, 5]] * 3)


def test_the_slope_at_a_key_is_weighted_by_the_spans_beside_it():
    # Spans of 1 ahead and 3 to the right: the slope at the key is 3/4 of the first, (1, 0), and 1/4 of (0, 1).
    made = rows(curve_path(FLAT, np.linspace(0, 1, 4001), [(1, 0, 0, 0, 0, 0), (1, 3, 0, 0, 0, 0)]))
    places = made[:, [2, 0]]
    at = int(np.argmin(np.linalg.norm(places - [1, 0], axis=1)))
    step = places[at + 1] - places[at - 1]
    np.testing.assert_allclose(step / np.linalg.norm(step), np.array([3, 1]) / np.sqrt(10), atol=5e-3)


def test_a_turn_takes_as_long_as_the_walk_of_as_many_frames():
    # Two degrees a frame and 0.05 units a frame: 40 degrees are 20 frames, as 1 unit is.
    made = rows(curve_path(FLAT, np.linspace(0, 1, 5), [(1, 0, 0, 0, 0, 0), (1, 0, 0, 40, 0, 0)]))
    np.testing.assert_allclose(made[2, [2, 3]], [1, 0], atol=2e-2)


@pytest.mark.parametrize("yaw", [0, 100, 170, -170, 530])
def test_an_aim_begins_at_the_view_and_takes_the_shorter_turn(yaw):
    start = CameraPose(0, 0, 0, yaw=yaw, pitch=20)
    aim = Aim.begin(start, 1, -1, 1)
    begun, halfway, done = (aim.turned(start, share) for share in (0, 0.5, 1))
    assert (begun.yaw - yaw) % 360 == pytest.approx(0, abs=1e-9)
    assert begun.pitch == pytest.approx(20)
    assert abs(aim.yaw) == pytest.approx(45)
    assert (done.yaw - (yaw - 45) + 180) % 360 == pytest.approx(180)
    assert done.pitch == pytest.approx(np.degrees(np.arctan2(1, np.sqrt(2))))
    assert halfway.yaw == pytest.approx((begun.yaw + done.yaw) / 2)
    assert halfway.pitch == pytest.approx((begun.pitch + done.pitch) / 2)


def test_an_aim_behind_turns_no_more_than_half_a_circle():
    assert abs(Aim.begin(FLAT, -1, 0.1, 0).yaw) == pytest.approx(174.29, abs=0.01)
    assert Aim.begin(FLAT, -1, 0, 0).yaw == -180
