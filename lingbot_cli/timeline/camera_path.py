"""Camera paths of other tools, ready for a timeline: poses, lenses for 832×480, rate and scale."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lingbot_cli.camera.convention import Convention, Matrix, describe_convention
from lingbot_cli.camera.scale import CLIP, ScaleRule, StepSizes, parse_scale
from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.times import MAX_FRAMES
from lingbot_cli.video_size import parse_image_size

if TYPE_CHECKING:
    import numpy as np

    from lingbot_cli.camera.formats.camera_file import CameraFile

# NumPy is imported on use: checking a timeline without files is faster.


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

    def as_dict(self) -> dict[str, object]:
        """Return the report as plain data."""
        return asdict(self)


def load_camera_path(
    path: Path, name: str, options: PathOptions, lens_file: Path | None = None
) -> CameraPath:
    """Read the cameras of a file or folder. Errors: UsageError with the file and the row."""
    from lingbot_cli.camera.formats.numpy_files import read_lenses
    from lingbot_cli.camera.formats.read_cameras import PUBLISHED_FOLDER, read_cameras
    from lingbot_cli.camera.lens import to_reference
    from lingbot_cli.camera.path_check import path_notes

    source = read_cameras(path, convention=options.convention, matrix=options.matrix)
    count = len(source.poses)
    if count > MAX_FRAMES:
        raise UsageError(f"{path}: {count} rows; expected at most {MAX_FRAMES}")
    notes = source.notes
    lenses, size, published = source.intrinsics, source.size, source.format == PUBLISHED_FOLDER
    if lens_file is not None:
        lenses, size, published = read_lenses(lens_file, count), None, True
    if options.intrinsics_size is not None:
        if lenses is None:
            raise UsageError(
                f"{path}: intrinsics_size without intrinsics", hint="name a file with intrinsics"
            )
        size = parse_image_size(options.intrinsics_size)
    if lenses is not None:
        lenses, more = to_reference(lens_file or path, lenses, size, published=published)
        notes = (*notes, *more)
    if source.frame_fps is None:
        notes = (*notes, *path_notes(source.poses, source.convention, source.matrix))
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
