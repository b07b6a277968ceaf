"""Published camera folder (poses.npy, intrinsics.npy, action.npy, a row a frame), and exports of cameras."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lingbot_cli.camera.convention import ExportFormat
from lingbot_cli.camera.formats.export import (
    FILES,
    SETTINGS_FILE,
    read_settings,
    settings_text,
    write_cameras,
)
from lingbot_cli.camera.formats.numpy_files import read_array
from lingbot_cli.camera.formats.read_cameras import INTRINSICS_FILE, POSES_FILE
from lingbot_cli.camera.keys import WASD
from lingbot_cli.camera.lens import REFERENCE_HEIGHT, REFERENCE_WIDTH
from lingbot_cli.camera.plucker import scale_intrinsics
from lingbot_cli.errors import UsageError, write_errors
from lingbot_cli.files import check_new, write_file
from lingbot_cli.timeline.chunks import FrameGrid, nearest_frame, split_into_chunks
from lingbot_cli.timeline.compile import CompiledTimeline, TimedText
from lingbot_cli.timeline.input_files import NO_OPTIONS, PathOptions, PathReport, load_camera_path
from lingbot_cli.timeline.schema import CameraSettings
from lingbot_cli.timeline.times import Time
from lingbot_cli.video_size import MAX_FRAMES

ACTION_FILE = "action.npy"
DEFAULT_CAMERA = CameraSettings()


def is_published(folder: Path) -> bool:
    """Return whether a path is a folder with poses.npy."""
    return os.path.isfile(folder / POSES_FILE)  # false for a name that is too long


def read_poses_dir(
    folder: str | Path,
    chunk: int,
    *,
    prompt: str = "",
    fps: float | None = None,
    duration: Time | None = None,
    options: PathOptions = NO_OPTIONS,
    camera: CameraSettings = DEFAULT_CAMERA,
) -> tuple[CompiledTimeline, tuple[str, ...]]:
    """Read a camera folder: poses [N, 4, 4], intrinsics [N, 4] or [4], action [N, 4]; and notes on it.

    A row is a frame; a `duration` cuts the video, or lets the camera stand at its end. The scale is that of
    `options`, else of `lingbot.json`, else "clip", the published rule. `camera` has the lens where none is given.
    Errors: UsageError for a missing or invalid file.
    """
    root = Path(folder)
    loaded = load_camera_path(
        root, str(root), options, Path(options.intrinsics) if options.intrinsics else None
    )
    poses = loaded.poses
    intrinsics, actions = loaded.intrinsics, np.zeros((1, len(WASD)))
    if intrinsics is None:
        intrinsics = np.array([camera.pixel_intrinsics])
    if (root / ACTION_FILE).exists():
        actions = _load_actions(root / ACTION_FILE, len(poses))
    settings = read_settings(root)
    grid = FrameGrid(fps or (settings.fps if settings else 16), chunk)
    frames = len(poses) if duration is None else nearest_frame(grid.to_frames(duration))
    if not 0 < frames <= MAX_FRAMES:
        raise UsageError(f"--duration {duration} is {frames} frames; expected 1 to {MAX_FRAMES}")
    chunks = split_into_chunks(frames, chunk)
    rows = np.minimum(np.arange(chunks[-1].end), len(poses) - 1)
    path = np.concatenate([poses, settings.after]) if settings else poses
    states = actions[np.minimum(rows, len(actions) - 1)].astype(np.float32)
    compiled = CompiledTimeline(
        grid=grid,
        frames=frames,
        chunks=tuple(chunks),
        poses=path[np.minimum(np.arange(chunks[-1].end), len(path) - 1)],
        intrinsics=intrinsics[np.minimum(rows, len(intrinsics) - 1)],
        actions=states,
        keys=tuple("".join(k for k, on in zip(WASD, state, strict=True) if on > 0) for state in states),
        prompts=(TimedText(0, prompt),) if prompt else (),
        action_texts=(),
        cuts=(),
        markers=(),
    ).scaled(loaded.scale)
    notes = loaded.notes
    if settings is not None and fps is not None and fps != settings.fps:
        notes = (
            *notes,
            f"written at {settings.fps} fps; --poses-fps {settings.fps} keeps its speed at {fps} fps",
        )
    shown = compiled.poses[: min(frames, len(poses))]
    report = PathReport.of(replace(loaded, fps=None), 0, shown, compiled.scale)
    return replace(compiled, paths=(report,)), notes


def check_overwrite(folder: Path, form: ExportFormat = "npy", *, overwrite: bool) -> list[Path]:
    """Return the files of a camera folder. Errors: UsageError for one that exists, unless `overwrite`."""
    names = (POSES_FILE, INTRINSICS_FILE, ACTION_FILE) if form == "npy" else FILES[form]
    files = [folder / name for name in (*names, SETTINGS_FILE)]
    for path in files:
        check_new(path, overwrite=overwrite)
    return files


def write_poses_dir(
    compiled: CompiledTimeline,
    folder: str | Path,
    form: ExportFormat = "npy",
    *,
    size: tuple[int, int] = (REFERENCE_HEIGHT, REFERENCE_WIDTH),
    frames: range | None = None,
    names: Sequence[str] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the camera of every video frame to a folder; return the files written, in order.

    Formats other than npy have lenses for frames of `size` (height, width), the written `frames` alone and the
    `names` of their images, from 00000.png on without any. Errors: UsageError for a file that exists, unless
    `overwrite`; OutputError.
    """
    root = Path(folder)
    shown = frames if frames is not None and form != "npy" else range(compiled.frames)
    rows = slice(shown.start, shown.stop)
    files = check_overwrite(root, form, overwrite=overwrite)
    with write_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        if form == "npy":
            np.save(files[0], compiled.poses[rows])
            np.save(files[1], compiled.intrinsics[rows])
            np.save(files[2], compiled.actions[rows])
        else:
            height, width = size
            lenses = scale_intrinsics(compiled.intrinsics[rows], height, width)
            numbered = [f"{number:05d}.png" for number in range(len(shown))]
            write_cameras(
                root,
                form,
                compiled.poses[rows],
                lenses,
                size=(width, height),
                fps=compiled.grid.fps,
                names=names or numbered,
            )
    # The last chunk reads the poses of its surplus too, after the video's last frame.
    write_file(files[-1], settings_text(compiled.grid.fps, compiled.poses[shown.stop :]))
    return files


def _load_actions(path: Path, count: int) -> np.ndarray:
    """Return w, a, s, d held [N, 4]. Errors: UsageError."""
    array = read_array(path)
    if array.ndim != 2 or array.shape[1] != len(WASD) or not len(array):
        raise UsageError(f"{path} has shape {list(array.shape)}; expected [N, 4]: w, a, s, d held")
    if array.dtype.kind not in "fiub":
        raise UsageError(f"{path} holds {array.dtype}; expected numbers")
    if len(array) not in (1, count):
        raise UsageError(f"{path} has {len(array)} rows; expected 1 or {count}, as {POSES_FILE}")
    actions = np.array(array, np.float64)
    if not np.isfinite(actions).all():
        raise UsageError(f"{path} holds values that are not finite; expected 0 or 1")
    return actions
