"""Cameras read from a file: poses, lenses, their image size and frame rate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lingbot_cli.camera.convention import Convention, Matrix
from lingbot_cli.camera.pose import invert_poses
from lingbot_cli.errors import UsageError

MAX_ROWS = 1_000_000
MAX_FILE_BYTES = 512 * 2**20
# Camera axes of OpenGL and Blender: x right, y up, z backward; of OpenCV: x right, y down, z forward.
_FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])
# World axes to x right, y down, z ahead: OpenGL's y is up, Blender's z is up.
_WORLDS = {
    "opencv": np.eye(4),
    "opengl": _FLIP_YZ,
    "blender": np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
}


@dataclass(frozen=True, eq=False)
class CameraFile:
    """Cameras of a trajectory in time order.

    `poses` [N, 4, 4] float64: of `convention` and `matrix` as a reader returns them, OpenCV camera-to-world in a
    world whose y points down as `read_cameras` does; it samples them at `rows` [M]. `intrinsics` [N, 4] float64
    (fx, fy, cx, cy) or None, in pixels of an image of `size` (width, height); a `size` of None is unknown, (1, 1)
    means normalised by the image's sides. `fps` is the rate of the rows, None where the format has none;
    `frame_fps` that of a video whose frames the rows are. `names` are the images' names, `scale` is the rule that
    `lingbot.json` names. `certain`: the format fixes axes and direction; else `convention` and `matrix` are assumed.
    """

    format: str
    poses: np.ndarray
    intrinsics: np.ndarray | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    frame_fps: float | None = None
    scale: str | None = None
    names: tuple[str, ...] = ()
    convention: Convention = "opencv"
    matrix: Matrix = "c2w"
    certain: bool = False
    notes: tuple[str, ...] = ()
    rows: np.ndarray | None = None


def from_convention(matrices: np.ndarray, convention: Convention, matrix: Matrix) -> np.ndarray:
    """Return rigid matrices [N, 4, 4] of a convention as OpenCV camera-to-world poses."""
    poses = matrices if matrix == "c2w" else invert_poses(matrices)
    return poses if convention == "opencv" else _WORLDS[convention] @ poses @ _FLIP_YZ


def to_convention(poses: np.ndarray, convention: Convention, matrix: Matrix = "c2w") -> np.ndarray:
    """Return OpenCV camera-to-world poses [N, 4, 4] as the matrices of another convention."""
    if convention != "opencv":
        poses = invert_poses(_WORLDS[convention]) @ poses @ _FLIP_YZ
    return poses if matrix == "c2w" else invert_poses(poses)


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Return a sorting key by which frame_2 comes before frame_10."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), part) if part.isdigit() else (0, 0, part) for part in parts]


def check_rigid(path: Path | str, matrices: np.ndarray) -> np.ndarray:
    """Return poses [N, 4, 4] as float64; UsageError names the first row that is no rigid transform."""
    array = np.asarray(matrices)
    if array.ndim == 3 and array.shape[1:] == (3, 4):
        bottom = np.broadcast_to(np.array([0.0, 0.0, 0.0, 1.0]), (len(array), 1, 4))
        array = np.concatenate([array, bottom], axis=1)
    if array.ndim != 3 or array.shape[1:] != (4, 4) or not 1 <= len(array) <= MAX_ROWS:
        raise UsageError(f"{path}: shape {list(array.shape)}; expected [N, 4, 4] or [N, 3, 4]")
    if array.dtype.kind not in "fiu":
        raise UsageError(f"{path}: values are {array.dtype}; expected numbers")
    poses = np.array(array, np.float64)
    finite = np.isfinite(poses).all((1, 2))
    if not finite.all():
        raise UsageError(f"{path}, row {int(np.argmin(finite))}: values are not finite; expected numbers")
    turns = poses[:, :3, :3]
    with np.errstate(all="ignore"):  # of numbers far beyond a rotation's
        rigid = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max((1, 2)) < 1e-2
        rigid &= (np.linalg.det(turns) > 0) & (np.abs(poses[:, 3] - [0, 0, 0, 1]).max(1) < 1e-4)
    if not rigid.all():
        row = int(np.argmin(rigid))
        raise UsageError(f"{path}, row {row}: not a pose; expected a rotation and a translation over 0 0 0 1")
    return poses


def check_lenses(path: Path | str, lenses: np.ndarray, count: int) -> np.ndarray:
    """Return lenses [count, 4] as float64 from [4], [1, 4], [N, 4], [3, 3] or [N, 3, 3]; UsageError names the row."""
    array = np.asarray(lenses)
    if array.shape[-2:] == (3, 3):
        array = np.stack([array[..., 0, 0], array[..., 1, 1], array[..., 0, 2], array[..., 1, 2]], axis=-1)
    rows = array[None] if array.ndim == 1 else array
    if rows.ndim != 2 or rows.shape[1] != 4 or len(rows) not in (1, count):
        raise UsageError(
            f"{path}: intrinsics of shape {list(np.shape(lenses))}; expected [4] or [{count}, 4]: fx, fy, cx, cy"
        )
    if rows.dtype.kind not in "fiu":
        raise UsageError(f"{path}: intrinsics are {rows.dtype}; expected numbers")
    found = np.array(rows, np.float64).repeat(1 if len(rows) == count else count, axis=0)
    good = np.isfinite(found).all(1) & (found[:, :2] > 0).all(1)
    if not good.all():
        row = int(np.argmin(good))
        raise UsageError(
            f"{path}, row {row}: focal lengths {found[row, 0]:g}, {found[row, 1]:g}; expected > 0"
        )
    return found


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; UsageError when it cannot be read or is too large."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None


def read_text(path: Path) -> str:
    """Return a file's text without a byte order mark; UsageError when it is no UTF-8."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text") from None
