"""Lenses of nerfstudio's files: focal lengths, angles, and the middle of the image."""

import json
import math

import numpy as np
import pytest

from lingbot_cli.camera.formats.read_cameras import read_cameras
from lingbot_cli.errors import UsageError


def frames(folder, frame=None, matrix=None, **content):
    one = {"file_path": "a.png", "transform_matrix": np.eye(4).tolist() if matrix is None else matrix}
    path = folder / "transforms.json"
    path.write_text(json.dumps({"w": 800, "h": 600, **content, "frames": [one | (frame or {})]}))
    return read_cameras(path)


@pytest.mark.parametrize(
    ("frame", "content", "lens"),
    [
        ({"fl_x": 500}, {}, [500, 500, 400, 300]),
        ({"fl_x": 500, "fl_y": 600}, {}, [500, 600, 400, 300]),
        ({"fl_x": 500}, {"fl_x": 9, "fl_y": 700, "cx": 410}, [500, 700, 410, 300]),
        ({"cy": 310}, {"fl_x": 500}, [500, 500, 400, 310]),
        ({}, {"camera_angle_x": math.pi / 2}, [400, 400, 400, 300]),
        ({"camera_angle_x": math.pi / 2}, {"fl_x": 500}, [500, 500, 400, 300]),
    ],
)
def test_a_frames_lens(tmp_path, frame, content, lens):
    found = frames(tmp_path, frame, **content)
    assert found.intrinsics[0] == pytest.approx(lens)
    assert found.size == (800, 600)


@pytest.mark.parametrize("angle", [0, math.pi, 4])
def test_an_angle_is_less_than_half_a_circle(tmp_path, angle):
    with pytest.raises(UsageError, match="expected 0 to pi radians"):
        frames(tmp_path, {"camera_angle_x": angle})


def test_a_lens_without_a_size_needs_its_centre(tmp_path):
    with pytest.raises(UsageError, match="camera_angle_x without w and h"):
        frames(tmp_path, {"camera_angle_x": 1}, w=None, h=None)
    with pytest.raises(UsageError, match="neither cx, cy nor w, h"):
        frames(tmp_path, {"fl_x": 500, "cx": 3}, w=None, h=None)


@pytest.mark.parametrize("count", [12, 16])
def test_matrices_of_three_or_four_rows(tmp_path, count):
    numbers = np.eye(4).flatten().tolist()[:count]
    numbers[3] = 7.0
    assert frames(tmp_path, matrix=np.reshape(numbers, (-1, 4)).tolist()).poses[0, 0, 3] == 7
    with pytest.raises(UsageError, match="row 0: 13 numbers"):
        frames(tmp_path, matrix=[*numbers[:12], 0.0])


def viewer(folder, **key):
    keys = [{"camera_to_world": np.eye(4).flatten().tolist(), "aspect": 4 / 3, **key}]
    path = folder / "camera_path.json"
    content = {"camera_path": keys, "render_width": 800, "render_height": 600, "fps": 24, "default_fov": 90}
    path.write_text(json.dumps(content))
    return read_cameras(path).intrinsics[0]


def test_a_viewers_key_has_its_own_lens_or_an_angle(tmp_path):
    assert viewer(tmp_path, fl_x=500) == pytest.approx([500, 500, 400, 300])
    assert viewer(tmp_path, fl_x=500, fl_y=600) == pytest.approx([500, 600, 400, 300])
    assert viewer(tmp_path) == pytest.approx([300, 300, 400, 300])
    assert viewer(tmp_path, fov=60) == pytest.approx([300 * math.sqrt(3), 300 * math.sqrt(3), 400, 300])
    with pytest.raises(UsageError, match="fov 180; expected less than 180 degrees"):
        viewer(tmp_path, fov=180)
