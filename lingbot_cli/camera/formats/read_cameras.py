"""Camera files of any tool, recognised by their content, and notes on paths that look wrongly read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from lingbot_cli.camera.convention import Convention, Matrix, describe_convention
from lingbot_cli.camera.formats import colmap, nerfstudio, numpy_files, text_files
from lingbot_cli.camera.formats.camera_file import CameraFile, from_convention, read_bytes, to_convention
from lingbot_cli.camera.formats.export import SETTINGS_FILE, read_settings
from lingbot_cli.camera.interpolate import sample_path, sample_rows
from lingbot_cli.errors import UsageError

KINDS = (
    ".npy, .npz, a folder with poses.npy, a ViPE folder, transforms.json, camera_path.json, a COLMAP model, "
    "RE10K or CameraCtrl .txt, TUM, a JSON list of 4x4 matrices"
)
POSES_FILE, INTRINSICS_FILE = "poses.npy", "intrinsics.npy"
PUBLISHED_FOLDER = "folder with poses.npy"
_SUFFIXES = (".npy", ".npz", ".json", ".txt")
_MIN_ROWS = 4
_JUMP = 10.0  # times the median step
_MOSTLY = 0.7  # share of the way that goes backwards
_TURNED = -0.2  # mean of the camera's up along the world's


def read_cameras(
    path: Path, *, convention: Convention | None = None, matrix: Matrix | None = None
) -> CameraFile:
    """Read a file or folder of cameras, by its content.

    `convention` and `matrix` win over those of the format. Errors: UsageError with the file and the row.
    """
    cameras = _read_folder(path) if os.path.isdir(path) else _read_file(path)
    if cameras.format == "COLMAP" and (convention not in (None, "opencv") or matrix not in (None, "w2c")):
        raise UsageError(
            f"{path}: COLMAP's poses are world-to-camera in OpenCV axes",
            hint="leave convention and matrix out",
        )
    convention, matrix = convention or cameras.convention, matrix or cameras.matrix
    poses, lenses = from_convention(cameras.poses, convention, matrix), cameras.intrinsics
    if cameras.rows is not None:
        poses = sample_path(poses, cameras.rows)
        lenses = None if lenses is None else sample_rows(lenses, cameras.rows)
    notes = cameras.notes
    if cameras.frame_fps is None:
        notes = (*notes, *_path_notes(poses, convention, matrix))
    return replace(cameras, poses=poses, intrinsics=lenses, convention=convention, matrix=matrix, notes=notes)


def _read_file(path: Path) -> CameraFile:
    is_model = path.name in ("images.txt", "images.bin", "cameras.txt", "cameras.bin")
    if is_model and (model := colmap.find_model(path.parent)):
        return colmap.read_model(model)
    head = read_bytes(path)[:4096]
    if head.startswith(b"\x93NUMPY"):
        return numpy_files.read_npy(path)
    if head.startswith(b"PK"):
        return numpy_files.read_npz(path)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return nerfstudio.read_json(path)
    if b"\0" in head or not _is_text(head):
        raise UsageError(f"{path}: not a camera file", hint=f"use {KINDS}")
    return text_files.read_txt(path)


def _is_text(head: bytes) -> bool:
    """Return whether the beginning of a file is UTF-8; its last letter may be cut."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4
    return True


def _read_folder(folder: Path) -> CameraFile:
    """Read a folder of cameras, with the settings that `lingbot.json` names."""
    cameras = _read_known(folder)
    settings = read_settings(folder)
    if settings is None:
        return cameras
    # One row is one frame of the video that was written, whatever the format's own times.
    return replace(cameras, fps=None, frame_fps=settings.fps, scale=settings.scale, certain=True)


def _read_known(folder: Path) -> CameraFile:
    """Read the published folder, a folder of ViPE, nerfstudio or COLMAP, or the only camera file in it."""
    if (folder / POSES_FILE).is_file():
        cameras = numpy_files.read_npy(folder / POSES_FILE)
        lens = folder / INTRINSICS_FILE
        lenses = numpy_files.read_lenses(lens, len(cameras.poses)) if lens.is_file() else None
        return replace(cameras, format=PUBLISHED_FOLDER, intrinsics=lenses)
    if (folder / "pose").is_dir():
        return numpy_files.read_vipe_folder(folder)
    for name in ("transforms.json", "camera_path.json"):
        if (folder / name).is_file():
            return nerfstudio.read_json(folder / name)
    if model := colmap.find_model(folder):
        return colmap.read_model(model)
    files = [each for each in folder.iterdir() if each.suffix in _SUFFIXES and each.name != SETTINGS_FILE]
    if len(files) == 1:
        return _read_file(files[0])
    raise UsageError(f"{folder}: no cameras found", hint=f"use {KINDS}")


def _path_notes(poses: np.ndarray, convention: Convention, matrix: Matrix) -> tuple[str, ...]:
    """Return notes on a path [N, 4, 4], OpenCV camera-to-world, that was read with a convention and direction."""
    notes = [_jump_note(poses)]
    forward, up = _forward_share(poses), _upright(poses)
    if forward < -_MOSTLY or up < _TURNED:
        wrong = "the camera mostly moves backwards" if forward < -_MOSTLY else "the camera hangs upside down"
        others = _better_readings(poses, convention, matrix)
        advice = f"; if it should not, try {' or '.join(others)}" if others else ""
        notes.append(f"{wrong} (read as {describe_convention(convention, matrix)}){advice}")
    return tuple(note for note in notes if note)


def _forward_share(poses: np.ndarray) -> float:
    """Return the part of the way that goes along the view: 1 forward, −1 backward, 0 sideways or still."""
    steps = np.diff(poses[:, :3, 3], axis=0)
    way = float(np.linalg.norm(steps, axis=1).sum())
    if len(poses) < _MIN_ROWS or way < 1e-9:
        return 0.0
    return float((steps * poses[:-1, :3, 2]).sum()) / way


def _upright(poses: np.ndarray) -> float:
    """Return the mean of the camera's up along the world's, 1 to −1; y points down in both."""
    return float(poses[:, 1, 1].mean())


def _better_readings(poses: np.ndarray, convention: Convention, matrix: Matrix) -> list[str]:
    """Return the keys by which the same matrices would move forward and upright."""
    raw = to_convention(poses, convention, matrix)
    found = []
    readings: tuple[tuple[Convention, Matrix], ...] = (
        ("opengl", "c2w"),
        ("blender", "c2w"),
        ("opencv", "w2c"),
        ("opengl", "w2c"),
        ("blender", "w2c"),
        ("opencv", "c2w"),
    )
    for axes, direction in readings:
        if (axes, direction) == (convention, matrix):
            continue
        read = from_convention(raw, axes, direction)
        if _forward_share(read) > -_TURNED and _upright(read) > -_TURNED:
            keys = [f"convention: {axes}"] if axes != convention else []
            keys += [f"matrix: {direction}"] if direction != matrix else []
            found.append(" with ".join(keys))
    return sorted(found, key=lambda keys: " with " in keys)[:2]


def _jump_note(poses: np.ndarray) -> str | None:
    """Return a note on a step that is many times as long as the others."""
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    moved = steps[steps > 1e-9]
    if len(moved) < _MIN_ROWS:
        return None
    usual, row = float(np.median(moved)), int(np.argmax(steps))
    if steps[row] < _JUMP * usual:
        return None
    return (
        f"the camera jumps from row {row} to row {row + 1}: {steps[row] / usual:.0f} times the median step; "
        "`scale: {fit: 1.0}` measures by the median"
    )
