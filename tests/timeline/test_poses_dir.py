"""Published camera folder, written and read again."""

import numpy as np
import pytest

from lingbot_cli.camera.pose import clip_scale
from lingbot_cli.camera.scale import FIXED
from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.compile import iter_controls
from lingbot_cli.timeline.input_files import PathOptions
from lingbot_cli.timeline.poses_dir import read_poses_dir, write_poses_dir
from tests.support.camera_reference import recorded
from tests.support.timelines import compile_text


def test_a_written_folder_is_read_back(tmp_path):
    made = compile_text(
        "prompt: dusk\nevents: [{keys: wld, for: 2.3s}, {turn: {pitch: 9}, for: 1s, ease: in}]"
    )
    write_poses_dir(made, tmp_path / "out")
    again, _ = read_poses_dir(tmp_path / "out", 4, prompt="dusk")
    assert (again.frames, again.grid, again.scale) == (made.frames, made.grid, made.scale)
    for a, b in zip(iter_controls(made), iter_controls(again), strict=True):
        shown = [row for row in range(4) if 4 * row < a.frames]
        np.testing.assert_array_equal(a.poses[shown], b.poses[shown])
        np.testing.assert_array_equal(a.intrinsics, b.intrinsics)
        assert (a.prompt, a.frames) == (b.prompt, b.frames)
    np.testing.assert_array_equal(again.actions[: made.frames], made.actions[: made.frames])


def test_the_published_scale_is_the_default_of_a_bare_folder(tmp_path):
    source = recorded()["traj_03_source_c2w"]
    np.save(tmp_path / "poses.npy", source)
    np.save(tmp_path / "intrinsics.npy", np.array([400.0, 400, 416, 240]))
    made, notes = read_poses_dir(tmp_path, 3)
    assert notes == ()
    assert made.scale == clip_scale(source[::4])
    assert read_poses_dir(tmp_path, 3, options=PathOptions(scale=FIXED))[0].scale == pytest.approx(0.2)
    assert made.intrinsics[5].tolist() == [400, 400, 416, 240]


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("other.npy", np.ones((2, 4)), "other.npy: shape"),
        ("poses.npy", np.eye(4), "expected \\[N, 4, 4\\]"),
        ("action.npy", np.ones((3, 4)), "3 rows; expected 1 or 2"),
        ("action.npy", np.ones((2, 3)), "expected \\[N, 4\\]"),
        ("intrinsics.npy", np.zeros((2, 4)), "row 0: focal lengths 0, 0; expected > 0"),
    ],
)
def test_invalid_folders(tmp_path, name, array, message):
    if name not in ("poses.npy", "other.npy"):
        np.save(tmp_path / "poses.npy", np.stack([np.eye(4)] * 2))
    np.save(tmp_path / name, array)
    with pytest.raises(UsageError, match=message):
        read_poses_dir(tmp_path, 4)
