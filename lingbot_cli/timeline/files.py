"""Files that a timeline names: camera paths and images, found under its folder and validated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.diagnostics import Problem, Problems
from lingbot_cli.timeline.load import ParsedEvent, Timeline
from lingbot_cli.timeline.schema import CutEvent, PosesEvent
from lingbot_cli.timeline.times import MAX_FRAMES

if TYPE_CHECKING:
    import numpy as np

# NumPy and Pillow are imported on use: checking a timeline without files is faster.


@dataclass(frozen=True)
class CameraPath:
    """`poses` [N, 4, 4] camera-to-world and `intrinsics` [N, 4] or None, both float64."""

    poses: np.ndarray
    intrinsics: np.ndarray | None = None


class TimelineFiles:
    """The files of one timeline, each read once; their problems are added to `problems`."""

    def __init__(self, timeline: Timeline, problems: Problems, *, allow_outside: bool = False) -> None:
        self._problems = problems
        self._folder = timeline.source.folder
        self._allow_outside = allow_outside
        self._arrays: dict[tuple[str, str], np.ndarray | str] = {}
        self._images: dict[str, Path | str] = {}

    def load_camera_path(self, parsed: ParsedEvent, event: PosesEvent) -> CameraPath | None:
        """Return the path that an event names, or None after adding a problem."""
        poses = self._array(parsed, "poses", event.poses)
        intrinsics = None
        if event.intrinsics is not None:
            intrinsics = self._array(parsed, "intrinsics", event.intrinsics)
        if poses is None:
            return None
        if intrinsics is not None and len(intrinsics) not in (1, len(poses)):
            rows = f"{event.intrinsics} has {len(intrinsics)} rows"
            self._add_problem(parsed, "intrinsics", f"{rows}; expected 1 or {len(poses)}, as many as poses")
            return None
        if intrinsics is not None and len(intrinsics) == 1:
            intrinsics = intrinsics.repeat(len(poses), axis=0)
        return CameraPath(poses, intrinsics)

    def find_image(self, parsed: ParsedEvent, event: CutEvent) -> Path | None:
        """Return the image that a cut names, or None after adding a problem."""
        found = self._images.get(event.cut)
        if found is None:
            found = self._images[event.cut] = self._check_image(event.cut)
        if isinstance(found, Path):
            return found
        self._add_problem(parsed, "cut", found)
        return None

    def _array(self, parsed: ParsedEvent, key: str, name: str) -> np.ndarray | None:
        found = self._arrays.get((key, name))
        if found is None:
            found = self._arrays[key, name] = self._load_array(key, name)
        if not isinstance(found, str):
            return found
        self._add_problem(parsed, key, found)
        return None

    def _add_problem(self, parsed: ParsedEvent, key: str, message: str) -> None:
        self._problems.append(Problem(parsed.item.locate((key,)), message))

    def _load_array(self, key: str, name: str) -> np.ndarray | str:
        path = self._find(name)
        if isinstance(path, str):
            return path
        try:
            array = load_array(path, name)
        except OSError:
            return f"{name} cannot be read; expected a .npy file"
        except ValueError as error:
            return str(error)
        return validate_poses(name, array) if key == "poses" else validate_intrinsics(name, array)

    def _check_image(self, name: str) -> Path | str:
        path = self._find(name)
        if isinstance(path, str):
            return path
        from lingbot_cli.image import read_image

        try:
            read_image(path)
        except UsageError:
            return f"{name} is not an image that can be read; expected PNG, JPEG or WebP"
        return path

    def _find(self, name: str) -> Path | str:
        """Return the file, or the problem with its name."""
        path = self._folder / name
        try:
            if not self._allow_outside and not path.resolve().is_relative_to(self._folder.resolve()):
                return (
                    f"{name} is outside the timeline's folder; expected a file under it, or --allow-outside"
                )
            if path.is_file():
                return path
        except (OSError, ValueError, RuntimeError):
            return f"'{name[:80]}' is not a file name; expected a file under the timeline's folder"
        return f"{name} does not exist; expected a file under {self._folder}"


def load_array(path: Path, name: str) -> np.ndarray:
    """Return the array in a .npy file, memory-mapped: a huge file costs nothing before its shape is known.

    Errors: OSError; ValueError, a message about `name`, for any other kind of file.
    """
    from zipfile import BadZipFile

    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, TypeError, MemoryError, RecursionError, BadZipFile):
        raise ValueError(f"{name} is not a NumPy array; expected a .npy file") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} holds several arrays; expected a .npy file with one")
    return array


def validate_poses(name: str, array: np.ndarray) -> np.ndarray | str:
    """Return poses [N, 4, 4] as float64, or the problem with them."""
    import numpy as np

    if array.ndim != 3 or array.shape[1:] != (4, 4) or not 1 <= len(array) <= MAX_FRAMES:
        return f"{name} has shape {list(array.shape)}; expected [N, 4, 4], one pose a video frame"
    if array.dtype.kind not in "fiu":
        return f"{name} holds {array.dtype}; expected numbers"
    poses = np.array(array, np.float64)
    if not np.isfinite(poses).all():
        return f"{name} holds values that are not finite; expected camera-to-world poses"
    rotations = poses[:, :3, :3]
    rigid = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max((1, 2)) < 1e-2
    rigid &= (np.linalg.det(rotations) > 0) & (np.abs(poses[:, 3] - [0, 0, 0, 1]).max(1) < 1e-4)
    if not rigid.all():
        row = int(np.argmin(rigid))
        return f"{name} row {row} is not a pose; expected a rotation and a translation over 0 0 0 1"
    return poses


def validate_intrinsics(name: str, array: np.ndarray) -> np.ndarray | str:
    """Return intrinsics [N, 4] as float64 from [4] or [N, 4], or the problem with them."""
    import numpy as np

    rows = array[None] if array.ndim == 1 else array
    if rows.ndim != 2 or rows.shape[1] != 4 or not 1 <= len(rows) <= MAX_FRAMES:
        return f"{name} has shape {list(array.shape)}; expected [N, 4] or [4]: fx, fy, cx, cy for 832×480"
    if rows.dtype.kind not in "fiu":
        return f"{name} holds {rows.dtype}; expected numbers"
    intrinsics = np.array(rows, np.float64)
    if not np.isfinite(intrinsics).all() or (intrinsics[:, :2] <= 0).any():
        return f"{name} holds focal lengths that are not positive numbers; expected pixels of 832×480"
    return intrinsics
