"""Camera that a video was rendered for, compiled again from its metadata."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lingbot_cli.camera.scale import parse_scale
from lingbot_cli.diagnostics.camera_check import RecordedCamera
from lingbot_cli.errors import UsageError
from lingbot_cli.render.metadata import sha256_file
from lingbot_cli.timeline.compile import CompiledTimeline
from lingbot_cli.timeline.diagnostics import SourceText
from lingbot_cli.timeline.input_files import PathOptions
from lingbot_cli.timeline.load import parse_timeline
from lingbot_cli.timeline.resolve import TimelineOverrides, resolve_parsed, resolve_timeline
from lingbot_cli.timeline.schema import TimelineHeader
from lingbot_cli.timeline.times import parse_time
from lingbot_cli.video_size import parse_size

_BUILT_IN, _BUILT_IN_HEIGHT = "built-in", 1.0
"""Height of the eye in the courtyard of the built-in model, in units."""


def recorded_camera(recipe: Mapping[str, Any], height: float | None) -> RecordedCamera:
    """Return the camera of a recipe; `height`: over the ground, None for the built-in model's or an unknown one.

    Errors: UsageError for camera files that are missing or have changed.
    """
    flags, preset = recipe["flags"], recipe["model"]["preset"]
    overrides = TimelineOverrides(
        fps=flags["fps"],
        duration=parse_time(flags["duration"]) if "duration" in flags else None,
        scale=parse_scale(flags["scale"]) if "scale" in flags else None,
        allow_outside=flags.get("allow-outside", False),
        path=PathOptions(
            flags.get("intrinsics"),
            flags.get("intrinsics-size"),
            flags.get("convention"),
            flags.get("matrix"),
            flags.get("poses-fps"),
        ),
    )

    def size(_: TimelineHeader) -> tuple[int, int]:
        return parse_size(flags["size"])

    for path, digest in recipe["files"].items():
        if path == flags.get("poses") and Path(path).is_file() and sha256_file(Path(path)) != digest:
            raise UsageError(
                f"{path} has changed since the video was rendered", hint="give the camera: --camera"
            )
    if "timeline" in flags:
        name = "<stdin>" if flags["timeline"] == "-" else flags["timeline"]
        source = SourceText(name, recipe["timeline"], Path(name).parent)
        resolved = resolve_parsed(parse_timeline(source), preset["chunk"], overrides, size)
    else:
        resolved = resolve_timeline(
            preset["chunk"],
            moves=flags.get("moves"),
            poses=flags.get("poses"),
            overrides=overrides,
            size=size,
        )
    if height is None and preset["name"] == _BUILT_IN:
        height = _BUILT_IN_HEIGHT
    first = int(flags.get("frames", ":").partition(":")[0] or 0)
    return camera_of(resolved.compiled, height, first)


def camera_of(compiled: CompiledTimeline, height: float | None, first: int = 0) -> RecordedCamera:
    """Return the camera of a compiled timeline from frame `first` on."""
    if height is not None:
        height += float(compiled.poses[0, 1, 3] - compiled.poses[first, 1, 3])
    rows = slice(first, compiled.frames)
    cuts = tuple(start - first for start, _ in compiled.cuts if start > first)
    fps, poses = compiled.grid.fps, compiled.poses[rows]
    return RecordedCamera(poses, compiled.intrinsics[rows], fps, compiled.scale, cuts, height)
