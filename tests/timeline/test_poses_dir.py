"""Published camera folder, written and read again."""

import numpy as np
import pytest

from lingbot_cli.camera.formats.export import read_settings
from lingbot_cli.camera.formats.read_cameras import read_cameras
from lingbot_cli.camera.pose import clip_scale
from lingbot_cli.camera.scale import FIXED
from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.compile import iter_controls
from lingbot_cli.timeline.input_files import PathOptions
from lingbot_cli.timeline.poses_dir import read_poses_dir, write_poses_dir
from lingbot_cli.timeline.times import parse_time
from lingbot_cli.video_size import MAX_FRAMES
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


def save_folder(folder, rows=5, **arrays):
    poses = np.tile(np.eye(4), (rows, 1, 1))
    poses[:, 2, 3] = np.arange(rows) / 10
    np.save(folder / "poses.npy", poses)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return poses


def test_a_row_is_a_frame_and_the_camera_stands_at_the_end(tmp_path):
    states = [[0, 0, 0, 0], [1, 0, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    poses = save_folder(tmp_path, action=np.array(states))
    made, notes = read_poses_dir(tmp_path, 3, prompt="day")
    assert (notes, made.frames, made.grid.fps, made.prompts[0].start) == ((), 5, 16, 0)
    assert [chunk.end for chunk in made.chunks] == [9]
    np.testing.assert_array_equal(made.poses, poses[[0, 1, 2, 3, 4, 4, 4, 4, 4]])
    (report,) = made.paths
    assert report.start == 0
    assert made.keys == ("", "w", "wa", "s", "d", "d", "d", "d", "d")
    np.testing.assert_array_equal(made.actions[:5], states)
    # The lens is that of the published servers.
    assert made.intrinsics.tolist() == [[500, 500, 416, 240]] * 9


def test_one_row_of_actions_counts_for_every_frame(tmp_path):
    save_folder(tmp_path, action=np.array([[0, 0, 0, 1]]))
    made, _ = read_poses_dir(tmp_path, 3)
    assert made.keys == ("d",) * 9
    assert made.prompts == ()


@pytest.mark.parametrize(("duration", "frames", "rows"), [("1f", 1, 9), ("9f", 9, 9), ("10f", 10, 21)])
def test_a_duration_cuts_or_lengthens_the_video(tmp_path, duration, frames, rows):
    save_folder(tmp_path)
    made, _ = read_poses_dir(tmp_path, 3, duration=parse_time(duration))
    assert (made.frames, len(made.poses), made.poses[-1, 2, 3]) == (frames, rows, 0.4)


@pytest.mark.parametrize("duration", ["0f", f"{MAX_FRAMES + 1}f"])
def test_a_duration_out_of_range(tmp_path, duration):
    save_folder(tmp_path)
    frames = duration[:-1]
    with pytest.raises(UsageError, match=f"--duration {duration} is {frames} frames; expected 1 to 1000000"):
        read_poses_dir(tmp_path, 3, duration=parse_time(duration))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 4)), r"shape \[0, 4\]"),
        (np.zeros(4), r"shape \[4\]"),
        (np.array([["w"] * 4]), "holds <U1; expected numbers"),
        (np.full((5, 4), np.nan), "not finite"),
        (np.zeros((6, 4)), "6 rows; expected 1 or 5"),
    ],
)
def test_wrong_actions(tmp_path, array, message):
    save_folder(tmp_path, action=array)
    with pytest.raises(UsageError, match=message):
        read_poses_dir(tmp_path, 3)


def test_a_written_folder_keeps_its_rate_and_scale(tmp_path):
    made = compile_text("fps: 24\nevents: [{keys: w, for: 10f}]", chunk=3)
    files = write_poses_dir(made, tmp_path / "out")
    assert [file.name for file in files] == ["poses.npy", "intrinsics.npy", "action.npy", "lingbot.json"]
    assert [len(np.load(file)) for file in files[:3]] == [10] * 3
    again, notes = read_poses_dir(tmp_path / "out", 3)
    assert (again.grid.fps, again.scale, notes) == (24, made.scale, ())
    np.testing.assert_array_equal(again.poses, made.poses)  # with those after the last frame
    assert read_poses_dir(tmp_path / "out", 3, fps=24)[1] == ()
    _, notes = read_poses_dir(tmp_path / "out", 3, fps=16)
    assert notes == ("written at 24 fps; --poses-fps 24 keeps its speed at 16 fps",)
    with pytest.raises(UsageError, match="exists"):
        write_poses_dir(made, tmp_path / "out")
    write_poses_dir(made, tmp_path / "out", overwrite=True)


def test_another_format_has_the_frames_that_were_written_alone(tmp_path):
    made = compile_text("events: [{keys: w, for: 10f}]")
    files = write_poses_dir(made, tmp_path, "nerfstudio", size=(240, 832), frames=range(2, 6))
    assert [file.name for file in files] == ["transforms.json", "lingbot.json"]
    found = read_cameras(tmp_path)
    assert found.names == ("00000.png", "00001.png", "00002.png", "00003.png")
    np.testing.assert_allclose(found.poses, made.poses[2:6], atol=1e-9)
    # The lens of half as high frames has half the height.
    assert found.intrinsics.tolist() == [[500, 250, 416, 120]] * 4
    assert found.size == (832, 240)
    np.testing.assert_array_equal(read_settings(tmp_path).after, made.poses[6:])
