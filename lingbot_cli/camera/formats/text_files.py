"""Text trajectories: RealEstate10K and CameraCtrl, and TUM.

RE10K and CameraCtrl: an optional first line with the video's address, then per frame a time, fx, fy, cx, cy
normalised by the image's sides, two numbers without meaning and a 3x4 world-to-camera matrix (19 columns).
TUM: `timestamp tx ty tz qx qy qz qw`, camera-to-world, in seconds.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from lingbot_cli.camera.formats.camera_file import MAX_ROWS, CameraFile, check_lenses, check_rigid, read_text
from lingbot_cli.camera.interpolate import to_rotations
from lingbot_cli.camera.pose import invert_poses
from lingbot_cli.errors import UsageError

RE10K_COLUMNS, TUM_COLUMNS = 19, 8
_COLUMNS = f"{RE10K_COLUMNS} columns of numbers (RE10K, CameraCtrl) or {TUM_COLUMNS} (TUM)"
_MICROSECONDS = 1e6
_EVEN = 0.05  # steps of time may differ from their median by this share


def read_txt(path: Path) -> CameraFile:
    """Read a text trajectory, recognised by its number of columns. UsageError names file and line."""
    numbers, rows = [], []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words or line.lstrip().startswith("#"):
            continue
        try:
            rows.append([float(word) for word in words])
        except ValueError:
            if rows or len(words) > 1:
                raise UsageError(f"{path}:{number}: not numbers; expected {_COLUMNS}") from None
            continue  # the address of the video
        numbers.append(number)
    if not rows or len(rows) > MAX_ROWS:
        raise UsageError(f"{path}: {len(rows)} poses; expected 1 to {MAX_ROWS}")
    columns = len(rows[0])
    odd = next((at for at, row in enumerate(rows) if len(row) != columns), None)
    if columns not in (RE10K_COLUMNS, TUM_COLUMNS) or odd is not None:
        at = odd or 0
        raise UsageError(f"{path}:{numbers[at]}: {len(rows[at])} columns; expected {_COLUMNS}")
    table = np.array(rows)
    return _re10k(path, table) if columns == RE10K_COLUMNS else _tum(path, table)


def write_re10k(
    folder: Path, poses: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int], fps: float
) -> list[Path]:
    """Write `re10k.txt` into `folder`: times in microseconds, lenses normalised by `size`."""
    width, height = size
    lenses = intrinsics / np.array([width, height, width, height])
    seen = invert_poses(poses)[:, :3].reshape(-1, 12)
    lines = [
        " ".join([str(round(row / fps * _MICROSECONDS)), *map(repr, map(float, (*lens, 0, 0, *pose)))])
        for row, (lens, pose) in enumerate(zip(lenses, seen, strict=True))
    ]
    path = folder / "re10k.txt"
    path.write_text("\n".join(["", *lines]) + "\n", "utf-8")
    return [path]


def _re10k(path: Path, table: np.ndarray) -> CameraFile:
    """Read world-to-camera rows; RE10K's times are microseconds, CameraCtrl's are frame numbers."""
    steps = np.diff(table[:, 0])
    microseconds = len(steps) > 0 and float(np.median(steps)) >= 1000
    cameras = CameraFile(
        "RealEstate10K",
        check_rigid(path, table[:, 7:].reshape(-1, 3, 4)),
        intrinsics=check_lenses(path, table[:, 1:5], len(table)),
        size=(1, 1),
        matrix="w2c",
        certain=True,
    )
    return _timed(path, cameras, table[:, 0] / _MICROSECONDS) if microseconds else cameras


def _tum(path: Path, table: np.ndarray) -> CameraFile:
    """Read camera-to-world rows with quaternions x, y, z, w."""
    turns = table[:, [7, 4, 5, 6]]
    lengths = np.linalg.norm(turns, axis=1)
    good = np.isfinite(turns).all(1) & (np.abs(lengths - 1) < 1e-2)
    if not good.all():
        row = int(np.argmin(good))
        raise UsageError(f"{path}, row {row}: the quaternion has length {lengths[row]:g}; expected 1")
    matrices = np.tile(np.eye(4), (len(table), 1, 1))
    matrices[:, :3, :3] = to_rotations(turns / lengths[:, None])
    matrices[:, :3, 3] = table[:, 1:4]
    return _timed(path, CameraFile("TUM", check_rigid(path, matrices)), table[:, 0])


def _timed(path: Path, cameras: CameraFile, seconds: np.ndarray) -> CameraFile:
    """Return the cameras with the rate of their times, even `rows` for uneven ones; UsageError for falling times."""
    if len(seconds) < 2:
        return cameras
    steps = np.diff(seconds)
    if not (np.isfinite(seconds).all() and (steps > 0).all()):
        row = int(np.argmin(np.append(True, (steps > 0) & np.isfinite(steps))))
        raise UsageError(f"{path}, row {row}: its time does not come after the one before it")
    usual = float(np.median(steps))
    uneven = np.flatnonzero(np.abs(steps / usual - 1) > _EVEN)
    if not len(uneven):
        # One row a frame even where a clock is rounded; the mean over all rows is the steadier figure.
        return replace(cameras, fps=(len(seconds) - 1) / float(seconds[-1] - seconds[0]))
    count = int(np.floor((seconds[-1] - seconds[0]) / usual + 1e-6)) + 1
    if count > MAX_ROWS:
        raise UsageError(f"{path}: times span {count} even steps; expected at most {MAX_ROWS}")
    rows = np.interp(seconds[0] + usual * np.arange(count), seconds, np.arange(len(seconds)))
    note = f"times are uneven at row {int(uneven[0]) + 1}; interpolated to {count} even rows at {1 / usual:g} fps"
    return replace(cameras, rows=rows, fps=1 / usual, notes=(*cameras.notes, note))
