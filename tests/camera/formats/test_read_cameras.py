"""Camera files recognised by their content, and notes on paths that look wrongly read."""

import json

import numpy as np
import pytest

from lingbot_cli.camera.formats import colmap
from lingbot_cli.camera.formats.read_cameras import read_cameras
from lingbot_cli.errors import UsageError

NERFSTUDIO = {"file_path": "a.png", "fl_x": 500, "fl_y": 500, "w": 832, "h": 480}


def walk(steps):
    """Poses of a camera that walks ahead by each of `steps`, backwards where one is negative."""
    poses = np.tile(np.eye(4), (len(steps) + 1, 1, 1))
    poses[1:, 2, 3] = np.cumsum(steps)
    return poses


def notes(tmp_path, poses):
    np.save(tmp_path / "a.npy", poses)
    return read_cameras(tmp_path / "a.npy").notes


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_short_path_may_go_backwards(tmp_path, rows):
    assert notes(tmp_path, walk([-0.1] * (rows - 1))) == ()


def test_four_rows_that_go_backwards_are_noted(tmp_path):
    (note,) = notes(tmp_path, walk([-0.1] * 3))
    assert note.startswith("the camera mostly moves backwards (read as ")


def test_a_camera_that_stands_still_has_no_notes(tmp_path):
    assert notes(tmp_path, walk([0.0] * 9)) == ()
    # It stands most of the time: the still rows do not count for the median step.
    assert notes(tmp_path, walk([0.0] * 9 + [0.1] * 5)) == ()


@pytest.mark.parametrize(("step", "noted"), [(0.99, False), (1.01, True)])
def test_a_jump_is_ten_times_the_median_of_four_steps(tmp_path, step, noted):
    found = notes(tmp_path, walk([0.1, 0.1, 0.1, step]))
    assert [note.partition(":")[0] for note in found] == ["the camera jumps from row 3 to row 4"] * noted
    assert notes(tmp_path, walk([0.1, 0.1, step])) == ()


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_letter_may_be_cut_where_the_beginning_of_a_file_ends(tmp_path, cut):
    comment = "# ".ljust(4096 - cut, "-") + "\N{PERSON WITH BALL}\n"
    rows = [f"{row} 0 0 {row / 10} 0 0 0 1\n" for row in range(5)]
    (tmp_path / "a.txt").write_text(comment + "".join(rows), "utf-8")
    np.testing.assert_allclose(read_cameras(tmp_path / "a.txt").poses[:, 2, 3], np.arange(5) / 10)


def test_bytes_that_are_no_text_are_no_camera_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff" + b"-" * 50)
    with pytest.raises(UsageError, match="not a camera file"):
        read_cameras(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["transforms.json", "camera_path.json"])
def test_a_folder_of_nerfstudio_may_have_other_files(tmp_path, name):
    poses = np.eye(4).tolist()
    content = {"frames": [NERFSTUDIO | {"transform_matrix": poses}]}
    if name == "camera_path.json":
        content = {"render_width": 832, "render_height": 480, "fps": 16, "seconds": 1}
        content["camera_path"] = [{"camera_to_world": np.eye(4).ravel().tolist(), "fov": 50, "aspect": 1.7}]
    (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "notes.txt").write_text("not cameras")
    (tmp_path / "other.json").write_text("{}")
    assert len(read_cameras(tmp_path).poses) == 1


def test_a_file_of_a_colmap_model_reads_the_model(tmp_path):
    lenses = np.tile([500.0, 500.0, 416.0, 240.0], (4, 1))
    colmap.write_model(tmp_path, walk([0.1] * 3), lenses, (832, 480), ["a", "b", "c", "d"])
    for name in ("images.txt", "cameras.txt"):
        assert read_cameras(tmp_path / name).names == ("a", "b", "c", "d")
