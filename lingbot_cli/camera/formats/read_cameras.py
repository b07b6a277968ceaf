"""Camera files of any tool, recognised by their content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lingbot_cli.camera.convention import Convention, Matrix
from lingbot_cli.camera.formats import colmap, nerfstudio, numpy_files, text_files
from lingbot_cli.camera.formats.camera_file import CameraFile, from_convention, read_bytes
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


def read_cameras(
    path: Path, *, convention: Convention | None = None, matrix: Matrix | None = None
) -> CameraFile:
    """Read a file or folder of cameras, by its content.

    `convention` and `matrix` win over those of the format. Errors: UsageError with the file and the row.
    """
    cameras = _read_folder(path) if path.is_dir() else _read_file(path)
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
    return replace(cameras, poses=poses, intrinsics=lenses, convention=convention, matrix=matrix)


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
