"""Camera files of nerfstudio: `transforms.json` of a data set and `camera_path.json` of its viewer.

Matrices are camera-to-world with OpenGL's camera axes, in a world whose z points up. A viewer's `fov` is the
vertical one, in degrees.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lingbot_cli.camera.formats.camera_file import (
    CameraFile,
    check_lenses,
    check_rigid,
    natural_order,
    read_text,
    to_convention,
)
from lingbot_cli.errors import UsageError

_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE")


def read_json(path: Path) -> CameraFile:
    """Read a JSON camera file by its content; UsageError for content of another kind."""
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if isinstance(content, dict) and isinstance(content.get("frames"), list):
        return _transforms(path, content)
    if isinstance(content, dict) and isinstance(content.get("camera_path"), list):
        return _camera_path(path, content)
    if isinstance(content, list):
        return CameraFile("JSON list of matrices", _matrices(path, content))
    raise UsageError(
        f"{path}: neither frames (transforms.json) nor camera_path (camera_path.json) nor a list of 4x4 matrices"
    )


def write_transforms(
    folder: Path, poses: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int], names: Sequence[str]
) -> list[Path]:
    """Write `transforms.json` into `folder`: poses [N, 4, 4] OpenCV, intrinsics [N, 4] in pixels of `size`."""
    width, height = size
    frames = [
        {
            "file_path": name,
            "transform_matrix": pose.tolist(),
            **dict(zip(("fl_x", "fl_y", "cx", "cy"), map(float, lens), strict=True)),
            "w": width,
            "h": height,
        }
        for name, pose, lens in zip(names, to_convention(poses, "blender"), intrinsics, strict=True)
    ]
    path = folder / "transforms.json"
    path.write_text(json.dumps({"camera_model": "OPENCV", "frames": frames}, indent=1) + "\n", "utf-8")
    return [path]


def _transforms(path: Path, content: Mapping[str, Any]) -> CameraFile:
    """Read a data set's frames, ordered by image name, numbers by value."""
    frames = content["frames"]
    if not frames or not all(isinstance(frame, dict) for frame in frames):
        raise UsageError(f"{path}: frames is empty or holds other things than maps")
    _check_perspective(path, content)
    names = [str(frame.get("file_path", "")) for frame in frames]
    order = list(range(len(frames)))
    if all(names):
        order.sort(key=lambda row: natural_order(names[row]))
    frames = [frames[row] for row in order]
    notes = ("frames are ordered by file_path",) if order != sorted(order) else ()
    for row, frame in enumerate(frames):
        _check_perspective(path, frame, row)
    sizes = {
        (_number(path, content, f, "w", row), _number(path, content, f, "h", row))
        for row, f in enumerate(frames)
    }
    if len(sizes) > 1:
        raise UsageError(f"{path}: images of several sizes; expected one")
    width, height = sizes.pop()
    size = None if width is None or height is None else (round(width), round(height))
    lenses = [_lens(path, content, frame, row, size) for row, frame in enumerate(frames)]
    known = [lens for lens in lenses if lens is not None]
    if known and len(known) != len(lenses):
        raise UsageError(f"{path}, frame {lenses.index(None)}: no focal length, where other frames have one")
    return CameraFile(
        "nerfstudio transforms.json",
        _matrices(path, [frame.get("transform_matrix") for frame in frames]),
        intrinsics=check_lenses(path, np.array(known), len(frames)) if known else None,
        convention="blender",
        certain=True,
        size=size if known else None,
        names=tuple(names[row] for row in order) if all(names) else (),
        notes=notes,
    )


def _camera_path(path: Path, content: Mapping[str, Any]) -> CameraFile:
    """Read a viewer's path; its `fps` is the rate of the rows."""
    kind = str(content.get("camera_type", "perspective"))
    if kind.lower() != "perspective":
        raise UsageError(f"{path}: camera_type {kind}; expected perspective")
    keys = content["camera_path"]
    if not keys or not all(isinstance(key, dict) for key in keys):
        raise UsageError(f"{path}: camera_path is empty or holds other things than maps")
    width = _positive(path, "render_width", content.get("render_width"))
    height = _positive(path, "render_height", content.get("render_height"))
    rate = content.get("fps")
    fps = None if rate is None else _positive(path, "fps", rate)
    lenses = [_key_lens(path, row, key, content, (width, height)) for row, key in enumerate(keys)]
    matrices = []
    for row, key in enumerate(keys):
        values = np.array(_floats(path, row, key.get("camera_to_world")))
        if values.size != 16:
            raise UsageError(f"{path}, row {row}: camera_to_world has {values.size} numbers; expected 16")
        matrices.append(values.reshape(4, 4))
    return CameraFile(
        "nerfstudio camera_path.json",
        check_rigid(path, np.stack(matrices)),
        intrinsics=check_lenses(path, np.array(lenses), len(lenses)),
        size=(round(width), round(height)),
        fps=fps,
        convention="blender",
        certain=True,
    )


def _key_lens(
    path: Path, row: int, key: Mapping[str, Any], content: Mapping[str, Any], size: tuple[float, float]
) -> list[float]:
    """Return fx, fy, cx, cy of a viewer's key: from `fl_x` and `fl_y` in pixels, or from its vertical `fov`."""
    width, height = size
    if key.get("fl_x") is not None:
        fx = _positive(path, f"camera_path[{row}].fl_x", key["fl_x"])
        fy = _positive(path, f"camera_path[{row}].fl_y", key.get("fl_y", fx))
        return [fx, fy, width / 2, height / 2]
    fov = _positive(path, f"camera_path[{row}].fov", key.get("fov", content.get("default_fov")))
    if fov >= 180:
        raise UsageError(f"{path}, row {row}: fov {fov:g}; expected less than 180 degrees")
    focal = height / 2 / math.tan(math.radians(fov) / 2)
    return [focal, focal, width / 2, height / 2]


def _check_perspective(path: Path, holder: Mapping[str, Any], row: int | None = None) -> None:
    """Refuse lenses that a pinhole camera does not describe."""
    place = f"{path}" if row is None else f"{path}, frame {row}"
    model = holder.get("camera_model")
    if model is not None and str(model).upper() not in _PERSPECTIVE:
        raise UsageError(
            f"{place}: camera_model {model}; expected a pinhole camera", hint="undistort the images"
        )
    if any(holder.get(key) for key in _DISTORTION):
        raise UsageError(f"{place}: lens distortion; expected a pinhole camera", hint="undistort the images")


def _lens(
    path: Path, content: Mapping[str, Any], frame: Mapping[str, Any], row: int, size: tuple[int, int] | None
) -> list[float] | None:
    """Return fx, fy, cx, cy of a frame, from its own keys or the file's, or from `camera_angle_x`."""
    fx, fy = (_number(path, content, frame, key, row) for key in ("fl_x", "fl_y"))
    angle = _number(path, content, frame, "camera_angle_x", row)
    if fx is None and angle is not None:
        if not 0 < angle < math.pi:
            raise UsageError(f"{path}, frame {row}: camera_angle_x {angle:g}; expected 0 to pi radians")
        # Without a size the lens is normalised by the width alone, which leaves fy unknown.
        if size is None:
            raise UsageError(f"{path}: camera_angle_x without w and h", hint="add the images' w and h")
        fx = size[0] / 2 / math.tan(angle / 2)
    if fx is None:
        return None
    cx, cy = (_number(path, content, frame, key, row) for key in ("cx", "cy"))
    if size is None and (cx is None or cy is None):
        raise UsageError(f"{path}, frame {row}: neither cx, cy nor w, h")
    middle = (size[0] / 2, size[1] / 2) if size else (0.0, 0.0)
    return [fx, fx if fy is None else fy, middle[0] if cx is None else cx, middle[1] if cy is None else cy]


def _number(
    path: Path, content: Mapping[str, Any], frame: Mapping[str, Any], key: str, row: int
) -> float | None:
    """Return a frame's number, or the file's, or None."""
    value = frame.get(key, content.get(key))
    return None if value is None else _positive(path, f"frames[{row}].{key}", value, zero=True)


def _positive(path: Path, key: str, value: object, *, zero: bool = False) -> float:
    """Return a positive finite number; UsageError names the key."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{path}: {key} is {json.dumps(value)[:60]}; expected a number")
    if value < 0 or (value == 0 and not zero):
        raise UsageError(f"{path}: {key} is {value:g}; expected more than 0")
    return float(value)


def _matrices(path: Path, rows: Sequence[object]) -> np.ndarray:
    """Return rigid matrices [N, 4, 4] from nested lists of 4x4, 3x4 or 16 numbers; UsageError names the row."""
    out = np.tile(np.eye(4), (len(rows), 1, 1))
    for row, value in enumerate(rows):
        numbers = _floats(path, row, value)
        if len(numbers) not in (12, 16):
            raise UsageError(f"{path}, row {row}: {len(numbers)} numbers; expected a 4x4 or 3x4 matrix")
        out[row, : len(numbers) // 4] = np.reshape(numbers, (-1, 4))
    return check_rigid(path, out)


def _floats(path: Path, row: int, value: object) -> list[float]:
    """Return the numbers of nested lists, at most two deep."""
    flat: list[object] = []
    for item in value if isinstance(value, list) else [None]:
        flat += item if isinstance(item, list) else [item]
    good = [x for x in flat if isinstance(x, int | float) and not isinstance(x, bool)]
    if len(good) != len(flat):
        raise UsageError(f"{path}, row {row}: not a matrix of numbers")
    return [float(x) for x in good]
