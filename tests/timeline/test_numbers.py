"""Numbers of a compiled timeline: an ease of every event a quarter of the way, and the keys of overlapping events."""

from pathlib import Path

import numpy as np
import pytest

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.timeline.compile import iter_controls
from lingbot_cli.timeline.motion import EASING_CURVES
from tests.support.timelines import compile_text

QUARTER = {"linear": 0.25, "in": 0.0625, "out": 0.4375, "in-out": 0.15625}
# Frame 4 of a path of 16 frames, whose last row is on frame 15.
PATH = {"linear": 0.266667, "in": 0.071111, "out": 0.462222, "in-out": 0.175407}


def distance(pose: np.ndarray) -> float:
    return float(np.linalg.norm(pose[:3, 3]))


def yaw(pose: np.ndarray) -> float:
    return CameraPose.from_matrix(pose).yaw


def pitch(pose: np.ndarray) -> float:
    return CameraPose.from_matrix(pose).pitch


EVENTS = {
    "keys: l": (yaw, 32.0),
    "move: {forward: 2}": (distance, 1.6),
    "turn: {yaw: 40}": (yaw, 40.0),
    "turn: {pitch: 20}": (pitch, 20.0),
    "dolly: 2": (distance, 1.6),
    "truck: 2": (distance, 1.6),
    "crane: 2": (distance, 1.6),
    "pan: 40": (yaw, 40.0),
    "tilt: 20": (pitch, 20.0),
    "orbit: {angle: 60}": (yaw, -60.0),
    "look_at: {forward: 1, right: 1}": (yaw, 45.0),
    "follow: [{forward: 1}, {forward: 2}]": (distance, 1.6),
}


@pytest.mark.parametrize("ease", QUARTER)
@pytest.mark.parametrize("event", EVENTS)
def test_a_quarter_of_an_event(event: str, ease: str) -> None:
    measure, whole = EVENTS[event]
    made = compile_text(f"events: [{{{event}, for: 1s, ease: {ease}}}, {{wait: 1f}}]")
    assert measure(made.poses[16]) == pytest.approx(whole, rel=1e-5)
    assert measure(made.poses[4]) == pytest.approx(whole * QUARTER[ease], rel=1e-5)


@pytest.mark.parametrize("ease", PATH)
def test_a_quarter_of_a_camera_file(tmp_path: Path, ease: str) -> None:
    poses = np.tile(np.eye(4), (16, 1, 1))
    poses[:, 2, 3] = np.linspace(0, 1, 16)
    np.save(tmp_path / "path.npy", poses)
    made = compile_text(
        f"events: [{{poses: path.npy, scale: fixed, for: 1s, ease: {ease}}}, {{wait: 1f}}]", folder=tmp_path
    )
    assert made.poses[4, 2, 3] == pytest.approx(PATH[ease], rel=1e-5)
    assert made.poses[15, 2, 3] == pytest.approx(1)
    # The frame after goes on at the speed of the last step.
    assert made.poses[16, 2, 3] == pytest.approx(2 - made.poses[14, 2, 3])


def test_the_scale_of_a_camera_file_counts_the_frames_of_its_span(tmp_path: Path) -> None:
    poses = np.tile(np.eye(4), (17, 1, 1))
    poses[:, 2, 3] = [0, 0, 0, 0, 0.2, 0, 0, 0, 0.4, 0, 0, 0, 0.6, 0, 0, 0, 10]
    np.save(tmp_path / "path.npy", poses)
    made = compile_text("events: [{poses: path.npy, scale: fixed}, {wait: 1s}]", folder=tmp_path)
    assert made.paths[0].steps.largest == pytest.approx(9.4 / 0.2)
    shorter = compile_text("events: [{poses: path.npy}, {wait: 1s}]", folder=tmp_path)
    assert shorter.paths[0].scale == pytest.approx(9.4)


def test_curves_begin_and_end_where_the_span_does() -> None:
    for ease, curve in EASING_CURVES.items():
        np.testing.assert_allclose(curve(np.array([0.0, 0.25, 1.0])), [0, QUARTER[ease], 1])


def test_keys_of_overlapping_events_join() -> None:
    made = compile_text(
        "events: [{keys: w, for: 1s}, {at: 0, keys: d, for: 0.5s}, {at: 0, keys: w, for: 0.5s}]"
    )
    assert [made.keys[frame] for frame in (0, 7, 8, 15)] == ["wd", "wd", "w", "w"]
    first = next(iter_controls(made))
    assert first.actions.tolist() == [[1, 0, 0, 1]] * 2 + [[1, 0, 0, 0]] * 2
    assert made.poses[8, 0, 3] == pytest.approx(0.4)
    assert made.poses[8, 2, 3] == pytest.approx(0.8)  # the motion of both events that hold w


def test_every_key_moves_its_own_way_once() -> None:
    moved = {}
    for letter in "wsdaeqljik":
        made = compile_text(f"events: [{{keys: {letter}, for: 1s}}, {{wait: 1f}}]")
        pose = made.poses[16]
        moved[letter] = [round(float(x), 3) for x in (*pose[:3, 3], yaw(pose), pitch(pose))]
    # x to the right, y down, z ahead; yaw to the right, pitch up.
    assert moved["w"] == [0, 0, 0.8, 0, 0]
    assert moved["s"] == [0, 0, -0.8, 0, 0]
    assert moved["d"] == [0.8, 0, 0, 0, 0]
    assert moved["a"] == [-0.8, 0, 0, 0, 0]
    assert moved["e"] == [0, -0.8, 0, 0, 0]
    assert moved["q"] == [0, 0.8, 0, 0, 0]
    assert moved["l"] == [0, 0, 0, 32, 0]
    assert moved["j"] == [0, 0, 0, -32, 0]
    assert moved["i"] == [0, 0, 0, 0, 32]
    assert moved["k"] == [0, 0, 0, 0, -32]
