"""Camera files that cannot be read name the file, the row and what was expected."""

import json
import struct

import numpy as np
import pytest

from lingbot_cli.camera.formats import camera_file
from lingbot_cli.camera.formats.read_cameras import read_cameras
from lingbot_cli.errors import UsageError

IDENTITY = np.eye(4).tolist()
FRAME = {"file_path": "a.png", "transform_matrix": IDENTITY, "fl_x": 500, "fl_y": 500, "w": 832, "h": 480}


def refusal(path):
    with pytest.raises(UsageError) as refused:
        read_cameras(path)
    return str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"frames": []}, "frames is empty"),
        ({"frames": [{**FRAME, "transform_matrix": [[1, 2], [3, 4]]}]}, "row 0: 4 numbers"),
        ({"frames": [FRAME, {**FRAME, "transform_matrix": np.zeros((4, 4)).tolist()}]}, "row 1: not a pose"),
        ({"frames": [{**FRAME, "k1": 0.1}]}, "lens distortion"),
        ({"frames": [{**FRAME, "camera_model": "EQUIRECTANGULAR"}]}, "expected a pinhole camera"),
        ({"frames": [{**FRAME, "fl_x": "wide"}]}, "fl_x is"),
        ({"frames": [FRAME, {**FRAME, "w": 100}]}, "several sizes"),
        ({"camera_path": [], "render_width": 1}, "camera_path is empty"),
        ({"a": 1}, "neither frames"),
        ([], "shape [0, 4, 4]"),
        ([["x"]], "row 0: not a matrix"),
    ],
)
def test_json(tmp_path, content, words):
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps(content))
    said = refusal(path)
    assert words in said
    assert str(path) in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 poses"),
        ("1 2 3\n", ":1: 3 columns"),
        ("0 0 0 0 0 0 0 1\n1 0 0 0 0 0 1\n", ":2: 7 columns"),
        ("0 0 0 0 0 0 0 2\n", "row 0: the quaternion"),
        ("0 0 0 0 0 0 0 1\n0 0 0 0 0 0 0 1\n", "row 1: its time"),
        ("0 0 0 0 0 0 0 1\n1 0 0 x 0 0 0 1\n", ":2: not numbers"),
    ],
)
def test_text(tmp_path, text, words):
    path = tmp_path / "a.txt"
    path.write_text(text)
    assert words in refusal(path)


def test_the_size_of_a_file_is_limited(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("0 0 0 0 0 0 0 1\n1 0 0 1 0 0 0 1\n")
    monkeypatch.setattr(camera_file, "MAX_FILE_BYTES", path.stat().st_size)
    assert len(read_cameras(path).poses) == 2
    monkeypatch.setattr(camera_file, "MAX_FILE_BYTES", path.stat().st_size - 1)
    assert "a.txt: larger than 0 MiB" in refusal(path)


def test_vipe_that_skips_frames(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, data=np.tile(np.eye(4), (3, 1, 1)), inds=np.array([0, 1, 5]))
    assert "row 2: frame 5 follows frame 1" in refusal(path)


def test_archives_and_pickles(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, points=np.zeros((3, 3)))
    assert "arrays points; expected exactly one" in refusal(path)
    np.save(tmp_path / "b.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "not a NumPy file of numbers" in refusal(tmp_path / "b.npy")
    (tmp_path / "c.bin").write_bytes(b"\0\1\2")
    assert "not a camera file" in refusal(tmp_path / "c.bin")
    assert "no cameras found" in refusal(tmp_path)
    assert "cannot read" in refusal(tmp_path / "missing.json")


def test_colmap_binary_that_is_cut_short_or_promises_too_much(tmp_path):
    (tmp_path / "cameras.bin").write_bytes(struct.pack("<QIiQQ4d", 1, 1, 1, 832, 480, 500, 500, 416, 240))
    (tmp_path / "images.bin").write_bytes(struct.pack("<Q", 2**60))
    assert "entries; expected at most" in refusal(tmp_path)
    (tmp_path / "images.bin").write_bytes(struct.pack("<QI", 1, 1))
    assert "ends in the middle" in refusal(tmp_path)
    (tmp_path / "cameras.bin").write_bytes(struct.pack("<QIiQQ8d", 1, 1, 5, 832, 480, *[500] * 8))
    assert "OPENCV_FISHEYE" in refusal(tmp_path)
