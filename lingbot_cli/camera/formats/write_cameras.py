"""Writers of camera formats, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from lingbot_cli.camera.formats import colmap, nerfstudio, text_files

Format = Literal["npy", "nerfstudio", "colmap", "re10k"]
FILES: dict[str, tuple[str, ...]] = {
    "nerfstudio": ("transforms.json",),
    "colmap": ("cameras.txt", "images.txt", "points3D.txt"),
    "re10k": ("re10k.txt",),
}
"""The files of each format but npy."""


def write_cameras(
    folder: Path,
    form: Format,
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
