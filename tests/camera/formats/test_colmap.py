"""COLMAP models: numbers of their cameras, and the parameters of lenses that are refused."""

import struct

import numpy as np
import pytest

from lingbot_cli.camera.formats import colmap
from lingbot_cli.camera.formats.read_cameras import read_cameras
from lingbot_cli.errors import UsageError

# Number and parameters of each model: COLMAP's documentation, "Camera Models".
REFUSED = {
    "OPENCV_FISHEYE": (5, 8),
    "FOV": (7, 5),
    "SIMPLE_RADIAL_FISHEYE": (8, 4),
    "RADIAL_FISHEYE": (9, 5),
    "THIN_PRISM_FISHEYE": (10, 12),
}
DISTORTED = {"SIMPLE_RADIAL": (2, 4), "RADIAL": (3, 5), "OPENCV": (4, 8), "FULL_OPENCV": (6, 12)}
ALL = {"SIMPLE_PINHOLE": (0, 3), "PINHOLE": (1, 4), **DISTORTED, **REFUSED}


def refusal(folder):
    with pytest.raises(UsageError) as refused:
        read_cameras(folder)
    return str(refused.value)


@pytest.mark.parametrize("model", ALL)
def test_the_number_of_a_lenss_parameters(tmp_path, model):
    number, count = ALL[model]
    (tmp_path / "images.txt").write_text("1 1 0 0 0 0 0 0 1 a.png\n\n")
    cameras = tmp_path / "cameras.txt"
    cameras.write_text(f"1 {model} 832 480 {'500 ' * (count - 1)}\n")
    assert f":1: {model} has {count - 1} parameters; expected {count}" in refusal(tmp_path)
    cameras.write_text(f"1 {model} 832 480 {'500 ' * count}\n")
    binary = tmp_path / "binary"
    binary.mkdir()
    (binary / "cameras.bin").write_bytes(
        struct.pack(f"<QIiQQ{count}d", 1, 1, number, 832, 480, *[500] * count)
    )
    (binary / "images.bin").write_bytes(struct.pack("<QI7dI6sQ", 1, 1, 1, *[0] * 6, 1, b"a.png\0", 0))
    if model in ("SIMPLE_PINHOLE", "PINHOLE"):
        for folder in (tmp_path, binary):
            assert read_cameras(folder).intrinsics.tolist() == [[500.0] * 4]
        return
    words = "has lens distortion" if model in DISTORTED else f"camera 1 is {model}"
    for folder in (tmp_path, binary):
        assert f"{words}; expected a pinhole camera" in refusal(folder).replace(f" ({model})", "")


def test_each_lens_is_one_camera_numbered_from_one(tmp_path):
    lenses = np.array([[500.0, 500, 416, 240], [600, 600, 416, 240], [500, 500, 416, 240]])
    colmap.write_model(tmp_path, np.tile(np.eye(4), (3, 1, 1)), lenses, (832, 480), ["a", "b", "c"])
    assert (tmp_path / "cameras.txt").read_text().splitlines() == [
        "1 PINHOLE 832 480 500.0 500.0 416.0 240.0",
        "2 PINHOLE 832 480 600.0 600.0 416.0 240.0",
    ]
    images = (tmp_path / "images.txt").read_text().split("\n\n")[:-1]
    assert [line.split()[-2:] for line in images] == [["1", "a"], ["2", "b"], ["1", "c"]]
