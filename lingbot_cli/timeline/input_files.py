"""Files that a timeline names: camera paths, ready for 832×480 with their rate and scale, and images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from lingbot_cli.camera.convention import Convention, Matrix, describe_convention
from lingbot_cli.camera.scale import CLIP, ScaleRule, StepSizes, latent_steps, parse_scale
from lingbot_cli.errors import UsageError
from lingbot_cli.sample_files import find_sample
from lingbot_cli.timeline.diagnostics import Problems
from lingbot_cli.timeline.load import ParsedEvent, Timeline
from lingbot_cli.timeline.schema import CutEvent, PosesEvent
from lingbot_cli.video_size import parse_image_size

if TYPE_CHECKING:
    import numpy as np

    from lingbot_cli.camera.formats.camera_file import CameraFile

Value = TypeVar("Value")

# NumPy and Pillow are imported on use: checking a timeline without files is faster.


@dataclass(frozen=True)
class PathOptions:
    """Choices for a camera file that its format leaves open; None takes the format's."""

    intrinsics: str | None = None
    intrinsics_size: str | None = None
    convention: Convention | None = None
    matrix: Matrix | None = None
    fps: float | None = None
    scale: ScaleRule | None = None


NO_OPTIONS = PathOptions()


@dataclass(frozen=True, eq=False)
class CameraPath:
    """`poses` [N, 4, 4] camera-to-world in the file's units and `intrinsics` [N, 4] for 832×480 or None, float64.

    `fps` is the rate of the rows, None for a row a video frame. `scale` measures the translations.
    """

    poses: np.ndarray
    intrinsics: np.ndarray | None = None
    fps: float | None = None
    scale: ScaleRule = CLIP
    name: str = ""
    source: CameraFile | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PathReport:
    """A path as the plan prints it: its file, how it was read, and its `scale` and steps in walking steps."""

    file: str
    start: int
    frames: int
    rows: int
    format: str
    convention: Convention
    matrix: Matrix
    assumed: bool
    fps: float | None
    scale_rule: str
    scale: float
    steps: StepSizes

    def __str__(self) -> str:
        reading = describe_convention(self.convention, self.matrix) + (" (assumed)" if self.assumed else "")
        rate = "a row a frame" if self.fps is None else f"{self.fps:.6g} rows a second"
        return (
            f"camera {self.file}: {self.format}, {self.rows} rows, {rate}, {reading}; scale {self.scale_rule} = "
            f"{self.scale:.4g}, {self.steps}"
        )

    @classmethod
    def of(cls, path: CameraPath, start: int, poses: np.ndarray, scale: float) -> PathReport:
        """Return the report of a path that gives the frames from `start` on their `poses`."""
        assert path.source is not None
        return cls(
            file=path.name,
            start=start,
            frames=len(poses),
            rows=len(path.poses),
            format=path.source.format,
            convention=path.source.convention,
            matrix=path.source.matrix,
            assumed=not path.source.certain,
            fps=path.fps,
            scale_rule=str(path.scale),
            scale=scale,
            steps=StepSizes.of(latent_steps(poses), scale),
        )


def load_camera_path(
    path: Path, name: str, options: PathOptions, lens_file: Path | None = None
) -> CameraPath:
    """Read the cameras of a file or folder. Errors: UsageError with the file and the row."""
    from lingbot_cli.camera.formats.numpy_files import read_lenses
    from lingbot_cli.camera.formats.read_cameras import PUBLISHED_FOLDER, read_cameras
    from lingbot_cli.camera.lens import to_reference

    source = read_cameras(path, convention=options.convention, matrix=options.matrix)
    notes = source.notes
    lenses, size, published = source.intrinsics, source.size, source.format == PUBLISHED_FOLDER
    if lens_file is not None:
        lenses, size, published = read_lenses(lens_file, len(source.poses)), None, True
    if options.intrinsics_size is not None:
        if lenses is None:
            raise UsageError(
                f"{path}: intrinsics_size without intrinsics", hint="name a file with intrinsics"
            )
        size = parse_image_size(options.intrinsics_size)
    if lenses is not None:
        lenses, more = to_reference(lens_file or path, lenses, size, published=published)
        notes = (*notes, *more)
    default = CLIP if source.scale is None else parse_scale(source.scale)
    chosen = options.convention is not None or options.matrix is not None
    return CameraPath(
        poses=source.poses,
        intrinsics=lenses,
        fps=options.fps or source.fps,
        scale=options.scale or default,
        name=name,
        source=replace(source, certain=source.certain or chosen),
        notes=notes,
    )


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
        if sample := find_sample(name, self._folder):
            return sample
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
