"""A timeline that begins again."""

from itertools import islice

import numpy as np
import pytest

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.timeline.loop import loop_timeline
from lingbot_cli.timeline.times import parse_time
from tests.support.timelines import scheduled

TURN = "prompt: a gate\nevents: [{turn: {yaw: 90}, for: 20f}, {prompt: rain}, {keys: w, for: 10f}]"


def test_each_round_goes_on_from_where_the_camera_is():
    told = list(islice(loop_timeline(scheduled(TURN)), 12))
    assert [control.frames for control in told] == [13, *[16] * 11]
    poses = np.concatenate([control.poses for control in told])
    yaw = [CameraPose.from_matrix(pose).yaw % 360 for pose in poses]
    assert yaw[8] == pytest.approx(99)  # frame 32: two into the second round
    assert yaw[15] == pytest.approx(180)
    assert np.linalg.norm(poses[15, :3, 3]) == pytest.approx(
        10 * 0.05 * 2**0.5, rel=1e-3
    )  # two sides of a square
    assert [control.prompt for control in told[:5]] == ["a gate", "a gate", "rain", "a gate", "a gate"]


def test_a_short_timeline_loops_within_a_chunk_and_a_duration_ends_it():
    told = list(
        loop_timeline(scheduled("events: [{keys: w, for: 2f}, {wait: 1f}]"), duration=parse_time("40f"))
    )
    assert sum(control.frames for control in told) == 40
    assert told[-1].poses[0, 2, 3] == pytest.approx(22 * 0.05, rel=1e-4)  # of 32 frames


def test_an_end_in_the_timeline_is_only_its_length():
    told = list(islice(loop_timeline(scheduled("events: [{keys: w, for: 9f}, {end: true, at: 3f}]")), 4))
    assert len(told) == 4
