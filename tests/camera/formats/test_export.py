"""Exported formats by their files, settings of an export, and COLMAP's camera models."""

import json
import struct

import numpy as np
import pytest

from lingbot_cli.camera.formats.camera_file import check_lenses, to_convention
from lingbot_cli.camera.formats.export import SETTINGS_FILE, read_settings, settings_text, write_cameras
from lingbot_cli.camera.formats.read_cameras import read_cameras
from lingbot_cli.errors import UsageError

POSES = np.tile(np.eye(4), (3, 1, 1))
LENSES = np.tile([500.0, 500, 416, 240], (3, 1))
NAMES = ["a/1.png", "a/2.png", "a/3.png"]


@pytest.mark.parametrize(
    ("form", "files", "text"),
    [
        ("nerfstudio", ["transforms.json"], "transform_matrix"),
        ("colmap", ["cameras.txt", "images.txt", "points3D.txt"], " 1.png\n"),
        ("re10k", ["re10k.txt"], ""),
    ],
)
def test_each_format_has_its_files(tmp_path, form, files, text):
    written = write_cameras(tmp_path, form, POSES, LENSES, size=(832, 480), fps=16, names=NAMES)
    assert sorted(path.name for path in written) == sorted(path.name for path in tmp_path.iterdir())
    assert sorted(path.name for path in written)[: len(files)] == files
    assert any(text in path.read_text() for path in written)


def settings(folder, content):
    (folder / SETTINGS_FILE).write_text(content)
    return read_settings(folder)


def test_settings_of_an_export(tmp_path):
    assert read_settings(tmp_path) is None
    found = settings(tmp_path, settings_text(24, POSES))
    assert (found.fps, found.scale, found.after.shape) == (24, "fixed", (3, 4, 4))
    for fps in (1, 120, 29.97):
        found = settings(tmp_path, json.dumps({"fps": fps, "scale": "clip"}))
        assert (found.fps, found.scale, len(found.after)) == (fps, "clip", 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x", "was not written by an export"),
        ("[" * 100_000, "was not written by an export"),
        ("[]", "was not written by an export"),
        ('{"fps": 16}', "was not written by an export"),
        ('{"fps": 0.5, "scale": "clip"}', "`fps` is not a number from 1 to 120"),
        ('{"fps": 121, "scale": "clip"}', "`fps` is not a number from 1 to 120"),
        ('{"fps": true, "scale": "clip"}', "`fps` is not a number from 1 to 120"),
        ('{"fps": "16", "scale": "clip"}', "`fps` is not a number from 1 to 120"),
        ('{"fps": 16, "scale": "clip", "after": [1, 2]}', "`after` is not a list of poses"),
        ('{"fps": 16, "scale": "clip", "after": [[1], 2]}', "`after` is not a list of poses"),
        ('{"fps": 16, "scale": "clip", "after": {"a": 1}}', "`after` is not a list of poses"),
    ],
)
def test_settings_that_no_export_wrote(tmp_path, content, message):
    with pytest.raises(UsageError, match=message):
        settings(tmp_path, content)


def test_settings_that_cannot_be_read(tmp_path):
    (tmp_path / SETTINGS_FILE).mkdir()
    with pytest.raises(UsageError, match="was not written by an export"):
        read_settings(tmp_path)


def colmap(folder, model, parameters, quaternion=(1, 0, 0, 0), names=(b"a.png", b"b.png")):
    """Write a binary model of two images, each with a camera of its own."""
    cameras = b"".join(
        struct.pack(f"<IiQQ{len(parameters)}d", number, model, 832, 480, *parameters) for number in (1, 2)
    )
    (folder / "cameras.bin").write_bytes(struct.pack("<Q", 2) + cameras)
    images = b"".join(
        struct.pack("<I7dI", number, *turn, 0, 0, 0, number) + name + b"\0" + struct.pack("<Q", 0)
        for number, turn, name in zip((1, 2), ((1, 0, 0, 0), quaternion), names, strict=True)
    )
    (folder / "images.bin").write_bytes(struct.pack("<Q", 2) + images)
    return read_cameras(folder)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (0, [500, 416, 240]),
        (1, [500, 501, 416, 240]),
        (2, [500, 416, 240, 0]),
        (3, [500, 416, 240, 0, 0]),
        (4, [500, 501, 416, 240, *[0] * 4]),
        (6, [500, 501, 416, 240, *[0] * 8]),
    ],
)
def test_pinhole_models_of_colmap_are_read(tmp_path, model, parameters):
    found = colmap(tmp_path, model, parameters)
    lens = parameters if parameters[1] == 501 else [500, *parameters]
    assert found.intrinsics.tolist() == [[500, lens[1], 416, 240]] * 2


@pytest.mark.parametrize(
    ("model", "count", "name"),
    [
        (5, 8, "OPENCV_FISHEYE"),
        (7, 5, "FOV"),
        (8, 4, "SIMPLE_RADIAL_FISHEYE"),
        (9, 5, "RADIAL_FISHEYE"),
        (10, 12, "THIN_PRISM_FISHEYE"),
        (11, 5, "unknown model 11"),
    ],
)
def test_other_models_of_colmap_are_named(tmp_path, model, count, name):
    with pytest.raises(UsageError, match=rf"\b{name}\b"):
        colmap(tmp_path, model, [500.0] * count)


def test_an_image_without_a_rotation_is_named(tmp_path):
    for turn in ((0, 0, 0, 0), (np.nan, 0, 0, 0), (1e-7, 0, 0, 0)):
        with pytest.raises(UsageError, match=r"image b\.png has no rotation"):
            colmap(tmp_path, 0, [500, 416, 240], turn)
    colmap(tmp_path, 0, [500, 416, 240], (1e-5, 0, 0, 0))


def test_an_image_without_a_name_is_read(tmp_path):
    assert colmap(tmp_path, 0, [500, 416, 240], names=(b"", b"b.png")).names == ("", "b.png")


def test_a_camera_at_the_origin_stays_there_in_every_convention():
    for convention in ("opencv", "opengl", "blender"):
        for matrix in ("c2w", "w2c"):
            np.testing.assert_array_equal(to_convention(POSES, convention, matrix)[:, :3, 3], 0)


def test_lenses_have_positive_focal_lengths_and_any_centre():
    assert check_lenses("a", np.array([[0.5, 0.5, 0, -3]]), 2).shape == (2, 4)
    with pytest.raises(UsageError, match="row 1: focal lengths 500, 0; expected > 0"):
        check_lenses("a", np.array([[500.0, 500, 416, 240], [500, 0, 416, 240]]), 2)
