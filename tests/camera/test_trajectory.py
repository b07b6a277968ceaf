"""Segments of a trajectory: their frames, and scenes that begin in the middle of one."""

import numpy as np

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.camera.trajectory import AimSegment, FrameMotion, MoveSegment, PathSegment, Trajectory

STILL = (0.0,) * 7


def path(start=0, rows=7):
    poses = np.stack([CameraPose(z=row**2, yaw=10 * row).matrix() for row in range(rows)])
    return PathSegment(start, poses)


def test_the_end_of_a_segment_is_the_frame_after_its_last():
    assert path(5, rows=4).end == 8
    assert path(5, rows=4).step_from(7) is not None
    assert path(5, rows=4).step_from(8) is None
    assert path(5, rows=4).step_from(4) is None
    assert MoveSegment(5, 3, list).end == 8
    assert AimSegment(5, (1, 0, 0), (0, 0.5, 0.7, 1)).end == 8


def test_a_scene_in_the_middle_of_a_path_continues_it_from_the_identity():
    segment = path()
    motions = [FrameMotion(STILL, (segment,), frame in (0, 2)) for frame in range(6)]
    made = Trajectory().poses(motions)
    np.testing.assert_allclose(made[:2], segment.poses[:2])
    back = np.linalg.inv(segment.poses[2])
    np.testing.assert_allclose(made[2:], back @ segment.poses[2:6], atol=1e-9)


def test_a_scene_that_begins_with_a_path_begins_at_its_start():
    segment = path(start=2)
    shifted = PathSegment(2, np.tile(CameraPose(x=5).matrix(), (3, 1, 1)))
    for begun in (segment, shifted):
        motions = [FrameMotion(STILL), FrameMotion(STILL), FrameMotion(STILL, (begun,), True)]
        np.testing.assert_allclose(Trajectory().poses(motions)[2], begun.poses[0])
