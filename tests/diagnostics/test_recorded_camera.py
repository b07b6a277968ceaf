"""The camera in a video's metadata is the one that it was rendered for."""

import math
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


def test_interpolated_frames_have_poses_between_the_rendered_ones():
    compiled, camera = recorded(Request(IMAGE, moves="wl-16"), {"interpolate": 40})
    assert (len(camera.poses), camera.fps) == (math.ceil(compiled.frames * 40 / 16), 40)
    assert np.allclose(camera.poses[5], compiled.poses[2])
    share = 3 * 16 / 40 - 1  # frame 3 is shown between the rendered frames 1 and 2
    between = (1 - share) * compiled.poses[1, :3, 3] + share * compiled.poses[2, :3, 3]
    assert np.allclose(camera.poses[3, :3, 3], between)
    assert np.allclose(camera.poses[-1], compiled.poses[compiled.frames - 1])


def test_interpolation_stops_at_a_cut():
    compiled, camera = recorded(Request(IMAGE, timeline="recipes/three-scenes.yaml"), {"interpolate": 32})
    cuts = [start for start, _ in compiled.cuts if start]
    assert camera.cuts == tuple(2 * cut for cut in cuts)
    cut = cuts[0]
    assert np.array_equal(camera.poses[2 * cut - 1], compiled.poses[cut - 1])
    assert np.array_equal(camera.poses[2 * cut], compiled.poses[cut])


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"frames": "x:"}, "--frames x:: not a range"),
        ({"frames": "900:"}, "the video has frames 0 to 16"),
        ({"fps": "soon"}, "flags.fps: .*no frame rate"),
        ({"fps": None}, "flags.fps"),
        ({"interpolate": 0}, "flags.interpolate: .*out of range"),
        ({"duration": -1}, "flags.duration"),
        ({"scale": "wide"}, "flags.scale"),
        ({"size": 5}, "flags.size"),
        ({"size": "5"}, "not a size"),
        ({"convention": "mine"}, "flags.convention"),
        ({"moves": 7}, "flags.moves"),
    ],
)
def test_crafted_metadata_is_refused(flags, problem):
    recipe = make_recipe(prepare(Request(IMAGE, moves="w-16")), precision="float32", tuning=None, encoding={})
    recipe["flags"].update(flags)
    with pytest.raises(UsageError, match=problem):
        recorded_camera(recipe, None)


@pytest.mark.parametrize("chunk", [None, 0, "three"])
def test_a_preset_without_its_chunk_is_refused(chunk):
    recipe = make_recipe(prepare(Request(IMAGE, moves="w-16")), precision="float32", tuning=None, encoding={})
    recipe["model"]["preset"]["chunk"] = chunk
    with pytest.raises(UsageError, match="chunk"):
        recorded_camera(recipe, None)
