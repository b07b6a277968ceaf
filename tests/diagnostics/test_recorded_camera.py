"""The camera in a video's metadata is the one that it was rendered for."""

from pathlib import Path

import numpy as np
import pytest

from lingbot_cli.diagnostics.recorded_camera import recorded_camera
from lingbot_cli.errors import UsageError
from lingbot_cli.render.metadata import make_recipe
from lingbot_cli.render.request import Request, prepare
from lingbot_cli.timeline.resolve import TimelineOverrides
from lingbot_cli.timeline.times import parse_time

IMAGE = Path("samples/courtyard-day.png")


def recorded(request, encoding=None):
    prepared = prepare(request)
    recipe = make_recipe(prepared, precision="float32", tuning=None, encoding=encoding or {})
    return prepared.resolved.compiled, recorded_camera(recipe, None)


@pytest.mark.parametrize(
    "request_",
    [
        Request(IMAGE, moves="w-10,wl-16", overrides=TimelineOverrides(fps=24)),
        Request(IMAGE, timeline="recipes/first-walk.yaml", overrides=TimelineOverrides(duration=parse_time("20f"))),
    ],
)  # fmt: skip
def test_poses_and_lenses_are_compiled_again(request_):
    compiled, camera = recorded(request_)
    assert np.array_equal(camera.poses, compiled.poses[: compiled.frames])
    assert np.array_equal(camera.lenses, compiled.intrinsics[: compiled.frames])
    assert camera.fps == compiled.grid.fps
    assert camera.height == 1.0


def test_a_range_of_frames_begins_at_its_first_pose():
    compiled, camera = recorded(Request(IMAGE, moves="e-8,w-8"), {"frames": "8:"})
    assert np.array_equal(camera.poses[0], compiled.poses[8])
    assert camera.height == pytest.approx(1.0 + compiled.poses[0, 1, 3] - compiled.poses[8, 1, 3])


def test_changed_poses_are_refused(tmp_path):
    poses = np.tile(np.eye(4), (9, 1, 1))
    poses[:, 2, 3] = np.arange(9) * 0.05
    np.save(tmp_path / "walk.npy", poses)
    request = Request(IMAGE, poses=str(tmp_path / "walk.npy"))
    prepared = prepare(request)
    recipe = make_recipe(prepared, precision="float32", tuning=None, encoding={})
    np.save(tmp_path / "walk.npy", 2 * poses)
    with pytest.raises(UsageError, match="has changed"):
        recorded_camera(recipe, None)
