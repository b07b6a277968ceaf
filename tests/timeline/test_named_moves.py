"""Named camera moves: their geometry, their joints, and live."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.drawing.top_view import scene_maps
from lingbot_cli.timeline.diagnostics import TimelineError
from lingbot_cli.timeline.live import LiveTimeline
from lingbot_cli.timeline.writer import to_jsonl, to_yaml
from tests.support.timelines import compile_text, find_problems, parse_valid

UNIT = 16 * 0.05  # a second of walking


def poses_of(text):
    made = compile_text(text)
    return made.frames, [CameraPose.from_matrix(pose) for pose in made.poses]


@pytest.mark.parametrize(
    ("named", "plain"),
    [
        ("dolly: 2", "move: {forward: 2}"),
        ("truck: -1", "move: {right: -1}"),
        ("crane: 0.5", "move: {up: 0.5}"),
        ("pan: 45", "turn: {yaw: 45}"),
        ("tilt: -20", "turn: {pitch: -20}"),
    ],
)
def test_moves_along_one_axis_are_their_long_forms(named, plain):
    made, same = (
        compile_text(f"events: [{{{form}, for: 2s, ease: in-out}}]").poses for form in (named, plain)
    )
    np.testing.assert_allclose(made, same, atol=1e-12)


def test_an_orbit_keeps_its_point_in_view_at_its_distance():
    text = "events: [{pan: 30, for: 1s}, {orbit: {angle: 120, radius: 3}, for: 2s}, {wait: 1s}]"
    frames, poses = poses_of(text)
    start, radius = poses[16], 3 * UNIT
    centre = np.array([start.x, start.z]) + radius * np.array(
        [np.sin(np.radians(start.yaw)), np.cos(np.radians(start.yaw))]
    )
    for pose in poses[16 : frames + 1]:
        to_centre = centre - [pose.x, pose.z]
        assert np.linalg.norm(to_centre) == pytest.approx(radius)
        assert np.degrees(np.arctan2(*to_centre)) % 360 == pytest.approx(pose.yaw % 360)
    assert (poses[48].yaw - start.yaw) % 360 == pytest.approx(240)
    # To the right: from the start, the camera leaves along its own x axis.
    right = np.array([np.cos(np.radians(start.yaw)), -np.sin(np.radians(start.yaw))])
    assert (np.array([poses[17].x, poses[17].z]) - [start.x, start.z]) @ right > 0


def test_an_orbit_that_rises_tilts_down_to_its_point():
    _, poses = poses_of("events: [{orbit: {angle: 0, radius: 2, up: 2}, for: 1s}]")
    assert poses[16].y == pytest.approx(-2 * UNIT)
    assert poses[16].pitch == pytest.approx(-45)


def test_the_view_reaches_the_point_while_the_camera_walks():
    text = "events: [{keys: w, for: 2s}, {at: 0, look_at: {forward: 4, right: 2, up: 1}, for: 2s}]"
    frames, poses = poses_of(text)
    last = poses[frames]
    to_point = np.array([2 * UNIT - last.x, -UNIT - last.y, 4 * UNIT - last.z])
    view = last.matrix()[:3, 2]
    np.testing.assert_allclose(view, to_point / np.linalg.norm(to_point), atol=1e-9)
    assert max(abs(b.yaw - a.yaw) for a, b in pairwise(poses[:frames])) < 5


def test_a_curve_passes_its_key_poses_at_an_even_speed():
    keys = "[{forward: 2}, {forward: 4, right: 2}, {forward: 4, right: 4, up: 1}]"
    frames, poses = poses_of(f"events: [{{turn: {{yaw: 90}}, for: 1s}}, {{follow: {keys}, for: 6s}}]")
    places = np.array([[pose.x, pose.y, pose.z] for pose in poses[16 : frames + 1]])
    for forward, right, up in ((2, 0, 0), (4, 2, 0), (4, 4, 1)):
        # Heading right: forward is x, right is −z.
        key = np.array([forward, -up, -right]) * UNIT
        assert np.linalg.norm(places - key, axis=1).min() < 0.05
    np.testing.assert_allclose(places[-1], np.array([4, -1, -4]) * UNIT, atol=1e-9)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.05


def test_a_curve_of_views_turns_at_an_even_speed():
    _, poses = poses_of("events: [{follow: [{yaw: 40}, {yaw: 80}], for: 2s}]")
    turns = np.diff([pose.yaw for pose in poses[:33]])
    np.testing.assert_allclose(turns, 2.5, rtol=0.05)


def test_moves_add_up_with_keys_and_join_without_standstill():
    text = "events: [{orbit: {angle: 45}, for: 1s}, {keys: w, for: 1s}, {follow: [{forward: 1}], for: 1s}]"
    frames, poses = poses_of(text)
    places = np.array([[pose.x, pose.z] for pose in poses[:frames]])
    assert (np.linalg.norm(np.diff(places, axis=0), axis=1) > 0.02).all()


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("{orbit: {radius: 2}, for: 1s}", "`orbit.angle` is missing"),
        ("{orbit: {angle: 9, radius: 0}, for: 1s}", "`orbit.radius` is too small"),
        ("{orbit: {angle: 9}}", "no span"),
        ("{look_at: {}, for: 1s}", "empty"),
        ("{follow: [], for: 1s}", "`follow` has 0 values"),
        ("{follow: {forward: 1}, for: 1s}", "a list of key poses"),
        ("{follow: [{foward: 1}], for: 1s}", "unknown key 'foward'; expected 'forward'"),
        ("{dolly: fast, for: 1s}", "`dolly` is not a number"),
        ("{tilt: 200, for: 1s}", "`tilt` is too large"),
    ],
)
def test_wrong_moves(event, message):
    assert message in find_problems(f"events: [{event}]")[0].message


def test_moves_are_written_and_read_again():
    text = "events: [{orbit: {angle: 9}, for: 1s}, {follow: [{forward: 1, yaw: 9}], for: 1s, ease: in}]"
    timeline = parse_valid(text)
    for write, name in ((to_yaml, "t.yaml"), (to_jsonl, "t.jsonl")):
        again = parse_valid(write(timeline), name)
        assert [parsed.event for parsed in again.events] == [parsed.event for parsed in timeline.events]


def test_moves_live():
    live = LiveTimeline(4, folder=Path())
    live.apply_raw({"pan": 64})  # at looking pace: 32 frames
    live.apply_raw({"orbit": {"angle": 90}, "at": "40f", "for": "1s"})
    with pytest.raises(TimelineError, match="no span"):
        live.apply_raw({"orbit": {"angle": 90}})
    controls = [live.next_control() for _ in range(5)]
    yaws = [CameraPose.from_matrix(control.poses[-1]).yaw for control in controls]
    assert yaws[1] == pytest.approx(56)
    assert yaws[-1] == pytest.approx(64 - 90)


def test_the_map_names_the_moves():
    made = compile_text("events: [{orbit: {angle: 90, radius: 3}, for: 1s}, {dolly: 2, for: 1s}]")
    (scene,) = scene_maps(made)
    assert [label.text for label in scene.labels] == ["orbit +90° at 3 until 1s", "dolly +2 until 2s"]


def test_a_curve_has_a_largest_number_of_key_poses():
    def problems(count):
        return find_problems(f"events: [{{follow: [{', '.join(['{yaw: 1}'] * count)}], for: 1s}}]")

    assert problems(1000) == []
    (problem,) = problems(1001)
    assert problem.message.startswith("`follow` has 1001 values")


def test_what_an_orbit_and_a_key_pose_leave_out():
    text = "events: [{orbit: {angle: 9}, for: 1s}, {follow: [{yaw: 5}], for: 1s}]"
    orbit, follow = (parsed.event for parsed in parse_valid(text).events)
    assert (orbit.orbit.angle, orbit.orbit.radius, orbit.orbit.up, orbit.ease) == (9, 2, 0, "linear")
    assert follow.follow[0].model_dump() == {
        **dict.fromkeys(("forward", "right", "up", "pitch", "roll"), 0),
        "yaw": 5,
    }
    assert [orbit.label(), follow.label()] == ["orbit +9° at 2", "follow 1 key pose"]
