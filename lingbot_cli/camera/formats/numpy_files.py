"""NumPy camera files: .npy, .npz and the folders of ViPE."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np

from lingbot_cli.camera.convention import Matrix
from lingbot_cli.camera.formats.camera_file import (
    MAX_FILE_BYTES,
    CameraFile,
    check_lenses,
    check_rigid,
    read_text,
)
from lingbot_cli.errors import UsageError

_POSE_KEYS: dict[str, Matrix] = {
    "poses": "c2w",
    "c2w": "c2w",
    "c2ws": "c2w",
    "cam2world": "c2w",
    "camera_to_world": "c2w",
    "camera_to_worlds": "c2w",
    "cam_c2w": "c2w",
    "w2c": "w2c",
    "w2cs": "w2c",
    "world_to_camera": "w2c",
    "extrinsics": "w2c",
    "extrinsic": "w2c",
}
_DAMAGED = (
    *(ValueError, LookupError, EOFError, SyntaxError, TypeError, ArithmeticError, RuntimeError, MemoryError),
    *(BadZipFile, TokenError, zlib.error, struct.error),
)
"""Errors of NumPy and of its zip and header parsers for a damaged file."""
_LENS_KEYS = ("intrinsics", "intrinsic", "K", "Ks")


def read_npy(path: Path) -> CameraFile:
    """Read poses [N, 4, 4] or [N, 3, 4] from a .npy file."""
    return CameraFile("NumPy array", check_rigid(path, read_array(path)))


def read_npz(path: Path) -> CameraFile:
    """Read a .npz file: ViPE's `data` and `inds`, or arrays named as poses or extrinsics, with intrinsics."""
    with _archive(path) as archive:
        if {"data", "inds"} <= set(archive.files):
            return _vipe(path, archive)
        found = [key for key in archive.files if key in _POSE_KEYS]
        if len(found) != 1:
            raise UsageError(
                f"{path}: arrays {', '.join(archive.files) or 'none'}; expected exactly one of "
                f"{', '.join(_POSE_KEYS)}",
                hint="save the poses under one of these names",
            )
        poses = check_rigid(path, _member(path, archive, found[0]))
        lens = next((key for key in _LENS_KEYS if key in archive.files), None)
        lenses = None if lens is None else check_lenses(path, _member(path, archive, lens), len(poses))
    return CameraFile(f"NumPy archive ({found[0]})", poses, lenses, matrix=_POSE_KEYS[found[0]])


def read_vipe_folder(folder: Path) -> CameraFile:
    """Read a result folder of ViPE: `pose/NAME.npz` and `intrinsics/NAME.npz`; UsageError for several names."""
    found = sorted((folder / "pose").glob("*.npz"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:8]) or "none"
        raise UsageError(
            f"{folder}/pose: {len(found)} recordings ({names}); expected one",
            hint=f"name one of them, such as {folder}/pose/NAME.npz",
        )
    return read_npz(found[0])


def _vipe(path: Path, archive: np.lib.npyio.NpzFile) -> CameraFile:
    """Read ViPE's poses: OpenCV camera-to-world, `inds` their video frames; the lens lies in ../intrinsics."""
    poses = check_rigid(path, _member(path, archive, "data"))
    _check_consecutive(path, _member(path, archive, "inds"), len(poses))
    return CameraFile("ViPE", poses, _vipe_lenses(path, len(poses)), certain=True)


def _vipe_lenses(path: Path, count: int) -> np.ndarray | None:
    """Return the lenses [count, 4] that ViPE wrote beside its poses, None without any."""
    beside = path.parent.parent / "intrinsics" / path.name
    if path.parent.name != "pose" or not beside.is_file():
        return None
    kinds = beside.with_name(f"{path.stem}_camera.txt")
    if kinds.is_file() and (odd := _other_camera(kinds)):
        raise UsageError(
            f"{kinds}: camera type {odd}; expected PINHOLE", hint="run ViPE with a pinhole camera"
        )
    with _archive(beside) as archive:
        return check_lenses(beside, _member(beside, archive, "data"), count)


def _other_camera(path: Path) -> str | None:
    """Return the first camera type of ViPE's list that is no pinhole camera."""
    kinds = [line.rpartition(":")[2].strip() for line in read_text(path).splitlines() if line.strip()]
    return next((kind for kind in kinds if kind.upper() != "PINHOLE"), None)


def _check_consecutive(path: Path, rows: np.ndarray, count: int) -> None:
    """Refuse poses that skip video frames: their times would be wrong."""
    if rows.shape != (count,) or rows.dtype.kind not in "iu":
        raise UsageError(f"{path}: inds of shape {list(rows.shape)}; expected [{count}] frame numbers")
    skipped = np.flatnonzero(np.diff(rows.astype(np.int64)) != 1)
    if len(skipped):
        row = int(skipped[0])
        raise UsageError(
            f"{path}, row {row + 1}: frame {rows[row + 1]} follows frame {rows[row]}; expected every frame",
            hint="run ViPE on every frame of the video",
        )


def read_array(path: Path) -> np.ndarray:
    """Open a .npy file, memory-mapped. Errors: UsageError."""
    found = _load(path)
    if not isinstance(found, np.ndarray):
        raise UsageError(f"{path}: an archive; expected one array", hint="rename it to .npz")
    return found


def _archive(path: Path) -> np.lib.npyio.NpzFile:
    found = _load(path)
    if isinstance(found, np.ndarray):
        raise UsageError(f"{path}: one array; expected an archive", hint="rename it to .npy")
    return found


def _load(path: Path) -> np.ndarray | np.lib.npyio.NpzFile:
    """Open a NumPy file without running anything in it."""
    try:
        # Memory-mapped: a huge array costs nothing before its shape is known.
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except _DAMAGED:
        raise UsageError(f"{path}: not a NumPy file of numbers; expected .npy or .npz") from None


def _member(path: Path, archive: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    """Return one array of an archive; UsageError where it unpacks to too much."""
    sizes = {info.filename: info.file_size for info in archive.zip.infolist()} if archive.zip else {}
    if sizes.get(f"{key}.npy", 0) > MAX_FILE_BYTES:
        raise UsageError(f"{path}: array {key} is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return np.asarray(archive[key])
    except (OSError, *_DAMAGED):
        raise UsageError(f"{path}: array {key} cannot be read") from None


def read_lenses(path: Path, count: int) -> np.ndarray:
    """Read lenses [count, 4] from a .npy file, or from the array `intrinsics`, `K` or `data` of a .npz file."""
    found = _load(path)
    if isinstance(found, np.ndarray):
        return check_lenses(path, found, count)
    with found as archive:
        key = next((key for key in (*_LENS_KEYS, "data") if key in archive.files), None)
        if key is None:
            names = ", ".join(archive.files) or "none"
            raise UsageError(f"{path}: arrays {names}; expected one of {', '.join((*_LENS_KEYS, 'data'))}")
        return check_lenses(path, _member(path, archive, key), count)
