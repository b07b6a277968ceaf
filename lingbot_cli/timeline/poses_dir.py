"""Published camera folder: poses.npy, intrinsics.npy and action.npy, a row a video frame."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from lingbot_cli.camera.keys import WASD
from lingbot_cli.errors import UsageError, write_errors
from lingbot_cli.files import check_new, write_file
from lingbot_cli.timeline.chunks import FrameGrid, split_into_chunks
from lingbot_cli.timeline.compile import CompiledTimeline, TimedText, published_scale
from lingbot_cli.timeline.input_files import load_array, load_intrinsics, load_poses
from lingbot_cli.timeline.schema import CameraSettings
from lingbot_cli.timeline.times import MAX_FRAMES

POSES_FILE, INTRINSICS_FILE, ACTION_FILE = "poses.npy", "intrinsics.npy", "action.npy"
# Beside the published files: the settings that make the same video again.
SETTINGS_FILE = "lingbot.json"


def read_poses_dir(
    folder: str | Path, chunk: int, *, prompt: str = "", fps: int | None = None, scale: str | None = None
) -> CompiledTimeline:
    """Read a camera folder: poses [N, 4, 4], intrinsics [N, 4] or [4], action [N, 4].

    `scale` is "clip", "fixed" or None: as written by `write_poses_dir`, else "clip", the published rule.
    Errors: UsageError for a missing or invalid file.
    """
    root = Path(folder)
    poses = _load(root / POSES_FILE, load_poses)
    intrinsics, actions = np.array([CameraSettings().pixel_intrinsics]), np.zeros((1, len(WASD)))
    if (root / INTRINSICS_FILE).exists():
        intrinsics = _load(root / INTRINSICS_FILE, load_intrinsics)
    if (root / ACTION_FILE).exists():
        actions = _load(root / ACTION_FILE, _load_actions)
    for name, array in ((INTRINSICS_FILE, intrinsics), (ACTION_FILE, actions)):
        if len(array) not in (1, len(poses)):
            raise UsageError(
                f"{root / name} has {len(array)} rows; expected 1 or {len(poses)}, as {POSES_FILE}"
            )
    settings = _read_settings(root)
    chunks = split_into_chunks(len(poses), chunk)
    rows = np.minimum(np.arange(chunks[-1].end), len(poses) - 1)
    path = poses[rows]
    after = np.array(settings.get("after", []), np.float64).reshape(-1, 4, 4)[: len(rows) - len(poses)]
    path[len(poses) : len(poses) + len(after)] = after
    path[len(poses) + len(after) :] = after[-1] if len(after) else poses[-1]
    states = actions[np.minimum(rows, len(actions) - 1)].astype(np.float32)
    compiled = CompiledTimeline(
        grid=FrameGrid(fps or settings.get("fps", 16), chunk),
        frames=len(poses),
        chunks=tuple(chunks),
        poses=path,
        intrinsics=intrinsics[np.minimum(rows, len(intrinsics) - 1)],
        actions=states,
        keys=tuple("".join(k for k, on in zip(WASD, state, strict=True) if on > 0) for state in states),
        prompts=(TimedText(0, prompt),) if prompt else (),
        action_texts=(),
        cuts=(),
        markers=(),
    )
    if (scale or settings.get("scale", "clip")) == "clip":
        return replace(compiled, scale=published_scale(compiled))
    return compiled


def check_overwrite(folder: Path, *, overwrite: bool) -> list[Path]:
    """Return the files of a camera folder. Errors: UsageError for one that exists, unless `overwrite`."""
    files = [folder / name for name in (POSES_FILE, INTRINSICS_FILE, ACTION_FILE, SETTINGS_FILE)]
    for path in files:
        check_new(path, overwrite=overwrite)
    return files


def write_poses_dir(compiled: CompiledTimeline, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Write the camera of every video frame to a folder; return the files written, in order.

    Errors: UsageError for a file that exists, unless `overwrite`; OutputError.
    """
    root = Path(folder)
    count = compiled.frames
    # The last chunk reads the poses of its surplus too, after the video's last frame.
    settings = {"fps": compiled.grid.fps, "scale": "fixed", "after": compiled.poses[count:].tolist()}
    files = check_overwrite(root, overwrite=overwrite)
    with write_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        np.save(files[0], compiled.poses[:count])
        np.save(files[1], compiled.intrinsics[:count])
        np.save(files[2], compiled.actions[:count])
    write_file(files[3], json.dumps(settings) + "\n")
    return files


def _read_settings(root: Path) -> dict:
    path = root / SETTINGS_FILE
    if not path.exists():
        return {}
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError):
        settings = None
    if not isinstance(settings, dict) or settings.get("scale") not in ("fixed", "clip"):
        raise UsageError(f'{path} was not written by an export; expected {{"fps": 16, "scale": "fixed"}}')
    if not isinstance(settings.get("fps"), int) or not 1 <= settings["fps"] <= 120:
        raise UsageError(f"{path}: `fps` is not a whole number from 1 to 120")
    try:
        np.array(settings.get("after", []), np.float64).reshape(-1, 4, 4)
    except (ValueError, TypeError):
        raise UsageError(f"{path}: `after` is not a list of poses; leave it out") from None
    return settings


def _load(path: Path, load: Callable[[Path, str], np.ndarray]) -> np.ndarray:
    try:
        return load(path, str(path))
    except ValueError as error:
        hint = f"use a folder with {POSES_FILE} and, optionally, {INTRINSICS_FILE} and {ACTION_FILE}"
        raise UsageError(str(error), hint=hint) from None


def _load_actions(path: Path, name: str) -> np.ndarray:
    array = load_array(path, name)
    if array.ndim != 2 or array.shape[1] != len(WASD) or not 1 <= len(array) <= MAX_FRAMES:
        raise ValueError(f"{name} has shape {list(array.shape)}; expected [N, 4]: w, a, s, d held")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds {array.dtype}; expected numbers")
    actions = np.array(array, np.float64)
    if not np.isfinite(actions).all():
        raise ValueError(f"{name} holds values that are not finite; expected 0 or 1")
    return actions
