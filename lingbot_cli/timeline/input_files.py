"""Files that a timeline names: camera paths and images, found under its folder and validated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.camera_path import CameraPath, PathOptions, load_camera_path
from lingbot_cli.timeline.diagnostics import Problems
from lingbot_cli.timeline.load import ParsedEvent, Timeline
from lingbot_cli.timeline.schema import CutEvent, PosesEvent
from lingbot_cli.video_size import MAX_FRAMES

if TYPE_CHECKING:
    import numpy as np

Value = TypeVar("Value")

# NumPy and Pillow are imported on use: checking a timeline without files is faster.


class TimelineFiles:
    """The files of one timeline, each read once; their problems are added to `problems`."""

    def __init__(self, timeline: Timeline, problems: Problems, *, allow_outside: bool = False) -> None:
        self._problems = problems
        self._folder = timeline.source.folder
        self._allow_outside = allow_outside
        self._results: dict[tuple[str, str, PathOptions | None], object] = {}

    def load_camera_path(self, parsed: ParsedEvent, event: PosesEvent) -> CameraPath | None:
        """Return the path that an event names, or None after adding a problem."""
        options = PathOptions(
            event.intrinsics, event.intrinsics_size, event.convention, event.matrix, event.fps, event.scale
        )
        lens_file = None
        if event.intrinsics is not None:
            lens_file = self._read(parsed, "intrinsics", event.intrinsics, lambda path, _: path)
            if lens_file is None:
                return None

        def load(path: Path, name: str) -> CameraPath:
            return load_camera_path(path, name, options, lens_file)

        return self._read(parsed, "poses", event.poses, load, options)

    def find_image(self, parsed: ParsedEvent, event: CutEvent) -> Path | None:
        """Return the image that a cut names, or None after adding a problem."""
        return self._read(parsed, "cut", event.cut, _check_image)

    def _read(
        self,
        parsed: ParsedEvent,
        key: str,
        name: str,
        read: Callable[[Path, str], Value],
        options: PathOptions | None = None,
    ) -> Value | None:
        """Return a file's value, read once with the same options, or None after adding its problem."""
        known = (key, name, options)
        if known not in self._results:
            try:
                self._results[known] = read(self._find(name, folders=key == "poses"), name)
            except UsageError as error:
                self._results[known] = ValueError(f"{error}; {error.hint}" if error.hint else str(error))
            except ValueError as error:
                self._results[known] = error
        result = self._results[known]
        if isinstance(result, ValueError):
            self._problems.add(parsed.item.locate((key,)), str(result))
            return None
        return cast("Value", result)

    def _find(self, name: str, *, folders: bool = False) -> Path:
        """Return a file, or a folder too, by its name. Errors: ValueError."""
        path = self._folder / name
        try:
            outside = not path.resolve().is_relative_to(self._folder.resolve())
            exists = path.exists() if folders else path.is_file()
        except (OSError, ValueError, RuntimeError):
            raise ValueError(
                f"'{name[:80]}' is not a file name; expected a file under the timeline's folder"
            ) from None
        if outside and not self._allow_outside:
            raise ValueError(
                f"{name} is outside the timeline's folder; expected a file under it, or --allow-outside"
            )
        if not exists:
            raise ValueError(f"{name} does not exist; expected a file under {self._folder}")
        return path


def _check_image(path: Path, name: str) -> Path:
    from lingbot_cli.image import read_image

    try:
        read_image(path)
    except UsageError:
        raise ValueError(f"{name} is not an image that can be read; expected PNG, JPEG or WebP") from None
    return path


def load_array(path: Path, name: str) -> np.ndarray:
    """Return the array in a .npy file, memory-mapped: a huge file costs nothing before its shape is known.

    Errors: ValueError, a message about `name`.
    """
    from zipfile import BadZipFile

    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"{name} does not exist; expected a .npy file") from None
    except OSError as error:
        raise ValueError(f"{name} cannot be read ({error.strerror}); expected a .npy file") from None
    except (ValueError, EOFError, SyntaxError, TypeError, MemoryError, RecursionError, BadZipFile):
        raise ValueError(f"{name} is not a NumPy array; expected a .npy file") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} holds several arrays; expected a .npy file with one")
    return array


def validate_poses(name: str, array: np.ndarray) -> np.ndarray:
    """Return poses [N, 4, 4] as float64. Errors: ValueError, a message about `name`."""
    import numpy as np

    if array.ndim != 3 or array.shape[1:] != (4, 4) or not 1 <= len(array) <= MAX_FRAMES:
        raise ValueError(f"{name} has shape {list(array.shape)}; expected [N, 4, 4], one pose a video frame")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} holds {array.dtype}; expected numbers")
    poses = np.array(array, np.float64)
    if not np.isfinite(poses).all():
        raise ValueError(f"{name} holds values that are not finite; expected camera-to-world poses")
    rotations = poses[:, :3, :3]
    rigid = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max((1, 2)) < 1e-2
    rigid &= (np.linalg.det(rotations) > 0) & (np.abs(poses[:, 3] - [0, 0, 0, 1]).max(1) < 1e-4)
    if not rigid.all():
        row = int(np.argmin(rigid))
        raise ValueError(
            f"{name} row {row} is not a pose; expected a rotation and a translation over 0 0 0 1"
        )
    return poses


def validate_intrinsics(name: str, array: np.ndarray) -> np.ndarray:
    """Return intrinsics [N, 4] as float64 from [4] or [N, 4]. Errors: ValueError."""
    import numpy as np

    rows = array[None] if array.ndim == 1 else array
    if rows.ndim != 2 or rows.shape[1] != 4 or not 1 <= len(rows) <= MAX_FRAMES:
        raise ValueError(
            f"{name} has shape {list(array.shape)}; expected [N, 4] or [4]: fx, fy, cx, cy for 832×480"
        )
    if rows.dtype.kind not in "fiu":
        raise ValueError(f"{name} holds {rows.dtype}; expected numbers")
    intrinsics = np.array(rows, np.float64)
    if not np.isfinite(intrinsics).all() or (intrinsics[:, :2] <= 0).any():
        raise ValueError(
            f"{name} holds focal lengths that are not positive numbers; expected pixels of 832×480"
        )
    return intrinsics
