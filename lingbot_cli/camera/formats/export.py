"""Export of cameras: a writer for each format, and `lingbot.json`, the settings that make the same video again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lingbot_cli.camera.convention import ExportFormat
from lingbot_cli.camera.formats import colmap, nerfstudio, text_files
from lingbot_cli.errors import UsageError

FILES: dict[str, tuple[str, ...]] = {
    "nerfstudio": ("transforms.json",),
    "colmap": ("cameras.txt", "images.txt", "points3D.txt"),
    "re10k": ("re10k.txt",),
}
"""The files of each format but npy."""
SETTINGS_FILE = "lingbot.json"


def write_cameras(
    folder: Path,
    form: ExportFormat,
    poses: np.ndarray,
    intrinsics: np.ndarray,
    *,
    size: tuple[int, int],
    fps: float,
    names: Sequence[str],
) -> list[Path]:
    """Write poses [N, 4, 4] and intrinsics [N, 4], pixels of `size` (width, height), into `folder`; return the files.

    `names` are the images' names, one a row.
    """
    if form == "nerfstudio":
        return nerfstudio.write_transforms(folder, poses, intrinsics, size, names)
    if form == "colmap":
        return colmap.write_model(folder, poses, intrinsics, size, [Path(name).name for name in names])
    return text_files.write_re10k(folder, poses, intrinsics, size, fps)


@dataclass(frozen=True, eq=False)
class CameraSettingsFile:
    """Frame rate and scale rule of a written video, and the poses `after` [M, 4, 4] its last frame."""

    fps: float
    scale: str
    after: np.ndarray


def read_settings(folder: Path) -> CameraSettingsFile | None:
    """Return the settings in a folder, None without a file. Errors: UsageError."""
    path = folder / SETTINGS_FILE
    if not path.exists():
        return None
    try:
        settings = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict) or settings.get("scale") not in ("fixed", "clip"):
        raise UsageError(f'{path} was not written by an export; expected {{"fps": 16, "scale": "fixed"}}')
    fps = settings.get("fps")
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not 1 <= fps <= 120:
        raise UsageError(f"{path}: `fps` is not a number from 1 to 120")
    try:
        after = np.array(settings.get("after", []), np.float64).reshape(-1, 4, 4)
    except (ValueError, TypeError):
        raise UsageError(f"{path}: `after` is not a list of poses; leave it out") from None
    return CameraSettingsFile(fps, settings["scale"], after)


def settings_text(fps: float, after: np.ndarray) -> str:
    """Return the content of a settings file for poses in walking units."""
    return json.dumps({"fps": fps, "scale": "fixed", "after": after.tolist()}) + "\n"
