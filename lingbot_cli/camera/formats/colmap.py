"""COLMAP models: cameras and images, as text or binary files.

COLMAP's poses are world-to-camera quaternions (w first) and translations in OpenCV axes. Layout of the files:
COLMAP's documentation, "Output Format".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lingbot_cli.camera.formats import camera_file
from lingbot_cli.camera.formats.camera_file import MAX_ROWS, CameraFile, natural_order
from lingbot_cli.camera.interpolate import to_quaternions, to_rotations
from lingbot_cli.camera.pose import invert_poses
from lingbot_cli.errors import UsageError

# Number in binary files, name, number of parameters; the first 3 or 4 are f (or fx, fy), cx, cy.
_MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
}
_COUNTS = dict(_MODELS.values())
_ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_TWO_FOCAL = ("PINHOLE", "OPENCV", "FULL_OPENCV")
_MAX_NAME_BYTES = 4096


class _Image(NamedTuple):
    """One registered image: its world-to-camera quaternion and translation, camera and name."""

    quaternion: tuple[float, ...]
    translation: tuple[float, ...]
    camera: int
    name: str


class _Camera(NamedTuple):
    """One lens: fx, fy, cx, cy in pixels of `size`."""

    lens: tuple[float, float, float, float]
    size: tuple[int, int]


def find_model(folder: Path) -> Path | None:
    """Return the folder of a COLMAP model at or under `folder` (`sparse/0`, `sparse`, `colmap/sparse/0`)."""
    for below in (".", "0", "sparse/0", "sparse", "colmap/sparse/0"):
        found = folder / below
        if any((found / f"images{end}").is_file() for end in (".bin", ".txt")):
            return found
    return None


def read_model(folder: Path) -> CameraFile:
    """Read a model's images in the order of their names, numbers by value. UsageError names the line or image."""
    if (folder / "images.bin").is_file():
        cameras, images = _binary_cameras(folder / "cameras.bin"), _binary_images(folder / "images.bin")
    else:
        cameras, images = _text_cameras(folder / "cameras.txt"), _text_images(folder / "images.txt")
    if not images:
        raise UsageError(f"{folder}: no registered images")
    listed = [image.name for image in images]
    images.sort(key=lambda image: natural_order(image.name))
    for image in images:
        if image.camera not in cameras:
            raise UsageError(f"{folder}: image {image.name} names camera {image.camera}, which is not there")
    sizes = {cameras[image.camera].size for image in images}
    if len(sizes) > 1:
        raise UsageError(f"{folder}: images of several sizes; expected one")
    turns = np.array([image.quaternion for image in images])
    lengths = np.linalg.norm(turns, axis=1, keepdims=True)
    if not (np.isfinite(turns).all() and (lengths > 1e-6).all()):
        row = int(np.argmin(np.isfinite(turns).all(1) & (lengths[:, 0] > 1e-6)))
        raise UsageError(f"{folder}: image {images[row].name} has no rotation")
    matrices = np.tile(np.eye(4), (len(images), 1, 1))
    matrices[:, :3, :3] = to_rotations(turns / lengths)
    matrices[:, :3, 3] = [image.translation for image in images]
    if not np.isfinite(matrices).all():
        raise UsageError(f"{folder}: a translation is not finite")
    lenses = np.array([cameras[image.camera].lens for image in images])
    return CameraFile(
        "COLMAP",
        matrices,
        intrinsics=camera_file.check_lenses(folder, lenses, len(images)),
        size=sizes.pop(),
        names=tuple(image.name for image in images),
        matrix="w2c",
        certain=True,
        notes=("images are ordered by name",) if listed != [image.name for image in images] else (),
    )


def write_model(
    folder: Path, poses: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int], names: Sequence[str]
) -> list[Path]:
    """Write a text model into `folder`: poses [N, 4, 4] OpenCV, intrinsics [N, 4] in pixels of `size`, no points."""
    lenses: dict[tuple[float, ...], int] = {}
    lines = []
    seen = invert_poses(poses)
    for row, (turn, name, lens) in enumerate(
        zip(to_quaternions(seen[:, :3, :3]), names, intrinsics, strict=True)
    ):
        camera = lenses.setdefault(tuple(map(float, lens)), len(lenses) + 1)
        numbers = " ".join(repr(float(x)) for x in (*turn, *seen[row, :3, 3]))
        lines.append(f"{row + 1} {numbers} {camera} {name}\n\n")
    width, height = size
    texts = {
        "cameras.txt": "".join(
            f"{number} PINHOLE {width} {height} {' '.join(map(repr, lens))}\n"
            for lens, number in lenses.items()
        ),
        "images.txt": "".join(lines),
        "points3D.txt": "",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    return [folder / name for name in texts]


def _camera(path: Path, number: int, model: str, size: tuple[int, int], values: Sequence[float]) -> _Camera:
    """Return a pinhole camera; UsageError for other lenses and for distortion."""
    if model in _ONE_FOCAL:
        focal, cx, cy, *rest = values
        lens = (focal, focal, cx, cy)
    elif model in _TWO_FOCAL:
        fx, fy, cx, cy, *rest = values
        lens = (fx, fy, cx, cy)
    else:
        raise UsageError(
            f"{path}: camera {number} is {model}; expected a pinhole camera", hint="undistort the images"
        )
    if any(rest):
        raise UsageError(
            f"{path}: camera {number} ({model}) has lens distortion; expected a pinhole camera",
            hint="run `colmap image_undistorter` and use its model",
        )
    return _Camera(lens, size)


def _lines(path: Path) -> list[tuple[int, str]]:
    lines = enumerate(camera_file.read_text(path).splitlines(), start=1)
    return [(number, line) for number, line in lines if not line.startswith("#")]


def _text_cameras(path: Path) -> dict[int, _Camera]:
    """Read `CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]` lines."""
    found = {}
    for number, line in _lines(path):
        words = line.split()
        if not words:
            continue
        try:
            identity, model, width, height = int(words[0]), words[1], int(words[2]), int(words[3])
            values = [float(word) for word in words[4:]]
        except (ValueError, IndexError):
            raise UsageError(f"{path}:{number}: expected CAMERA_ID MODEL WIDTH HEIGHT PARAMS") from None
        if len(values) != _COUNTS.get(model, len(values)):
            raise UsageError(
                f"{path}:{number}: {model} has {len(values)} parameters; expected {_COUNTS[model]}"
            )
        found[identity] = _camera(path, identity, model, (width, height), values)
    return found


def _text_images(path: Path) -> list[_Image]:
    """Read pairs of lines: the image, then its points, which are ignored."""
    found = []
    lines = iter(_lines(path))
    for number, line in lines:
        words = line.split(maxsplit=9)
        if not words:
            continue
        try:
            values = tuple(float(word) for word in words[1:8])
            image = _Image(values[:4], values[4:], int(words[8]), words[9].strip())
            int(words[0])
        except (ValueError, IndexError):
            raise UsageError(
                f"{path}:{number}: expected IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
            ) from None
        found.append(image)
        next(lines, None)
    return found


class _BinaryReader:
    """Little-endian numbers of a binary file, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path, self._data, self._at = path, camera_file.read_bytes(path), 0

    def take(self, form: str) -> tuple[Any, ...]:
        """Return the next numbers of a struct format."""
        return struct.unpack_from(f"<{form}", self._data, self.skip(struct.calcsize(f"<{form}")))

    def name(self) -> str:
        """Return the next string, which ends with a zero byte."""
        end = self._data.find(b"\0", self._at, self._at + _MAX_NAME_BYTES)
        if end < 0:
            raise UsageError(f"{self.path}: a name does not end")
        text = self._data[self._at : end].decode("utf-8", "replace")
        self._at = end + 1
        return text

    def skip(self, size: int) -> int:
        """Pass over bytes and return where they begin."""
        if self._at + size > len(self._data):
            raise UsageError(f"{self.path}: ends in the middle of an entry")
        self._at += size
        return self._at - size

    def entries(self) -> range:
        """Return as many numbers as the file has entries, by its first number."""
        (count,) = self.take("Q")
        if count > MAX_ROWS:
            raise UsageError(f"{self.path}: {count} entries; expected at most {MAX_ROWS}")
        return range(count)


def _binary_cameras(path: Path) -> dict[int, _Camera]:
    reader, found = _BinaryReader(path), {}
    for _ in reader.entries():
        identity, model, width, height = reader.take("IiQQ")
        if model not in _MODELS:
            raise UsageError(f"{path}: camera {identity} has the unknown model {model}")
        name, count = _MODELS[model]
        found[identity] = _camera(path, identity, name, (width, height), reader.take(f"{count}d"))
    return found


def _binary_images(path: Path) -> list[_Image]:
    reader, found = _BinaryReader(path), []
    for _ in reader.entries():
        _, *values, camera = reader.take("I7dI")
        name = reader.name()
        (points,) = reader.take("Q")
        reader.skip(24 * points)
        found.append(_Image(tuple(values[:4]), tuple(values[4:]), camera, name))
    return found
