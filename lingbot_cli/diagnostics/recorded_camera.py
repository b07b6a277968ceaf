"""Camera that a video was rendered for, compiled again from its metadata."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from lingbot_cli.camera.convention import Convention, Matrix
from lingbot_cli.camera.interpolate import sample_path, sample_rows
from lingbot_cli.camera.scale import ScaleRule, parse_scale
from lingbot_cli.diagnostics.camera_check import RecordedCamera
from lingbot_cli.errors import UsageError
from lingbot_cli.render.metadata import sha256_file
from lingbot_cli.render.request import frame_range
from lingbot_cli.sinks.rescale import Rescale
from lingbot_cli.timeline.compile import CompiledTimeline
from lingbot_cli.timeline.diagnostics import SourceText
from lingbot_cli.timeline.input_files import PathOptions
from lingbot_cli.timeline.load import parse_timeline
from lingbot_cli.timeline.resolve import TimelineOverrides, resolve_parsed, resolve_timeline
from lingbot_cli.timeline.schema import TimelineHeader
from lingbot_cli.timeline.times import Time, exact_fps, parse_fps, parse_time
from lingbot_cli.video_size import parse_size

_BUILT_IN, _BUILT_IN_HEIGHT = "built-in", 1.0
"""Height of the eye in the courtyard of the built-in model, in units."""


def _optional(parse: Callable[[object], object]) -> BeforeValidator:
    return BeforeValidator(lambda value: None if value is None else parse(value))


class _CameraFlags(
    BaseModel, arbitrary_types_allowed=True, alias_generator=lambda name: name.replace("_", "-")
):
    """Flags of a recipe that decide its camera, and the preset's chunk."""

    chunk: int = Field(ge=1, le=64)
    size: str
    fps: Annotated[float, BeforeValidator(parse_fps)]
    interpolate: Annotated[float | None, _optional(parse_fps)] = None
    duration: Annotated[Time | None, _optional(parse_time)] = None
    scale: Annotated[ScaleRule | None, _optional(parse_scale)] = None
    frames: str = ":"
    allow_outside: bool = False
    moves: str | None = None
    poses: str | None = None
    poses_fps: float | None = Field(None, gt=0)
    intrinsics: str | None = None
    intrinsics_size: str | None = None
    convention: Convention | None = None
    matrix: Matrix | None = None


def _read_flags(flags: Mapping[str, object]) -> _CameraFlags:
    """Return the flags of a recipe. Errors: UsageError."""
    try:
        return _CameraFlags.model_validate(flags)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False)[0]
        raise UsageError(
            f"unreadable recipe: flags.{first['loc'][0]}: {first['msg'].lower()}",
            hint="give the camera: --camera",
        ) from wrong


def recorded_camera(recipe: Mapping[str, Any], height: float | None) -> RecordedCamera:
    """Return the camera of a recipe; `height`: over the ground, None for the built-in model's or an unknown one.

    Errors: UsageError for camera files that are missing or have changed.
    """
    flags, preset = recipe["flags"], recipe["model"]["preset"]
    found = _read_flags({**flags, "chunk": preset.get("chunk")})
    overrides = TimelineOverrides(
        fps=found.fps,
        duration=found.duration,
        scale=found.scale,
        allow_outside=found.allow_outside,
        path=PathOptions(
            found.intrinsics, found.intrinsics_size, found.convention, found.matrix, found.poses_fps
        ),
    )

    def size(_: TimelineHeader) -> tuple[int, int]:
        return parse_size(found.size)

    for path, digest in recipe["files"].items():
        if path == found.poses and os.path.isfile(path) and sha256_file(Path(path)) != digest:
            raise UsageError(
                f"{path} has changed since the video was rendered", hint="give the camera: --camera"
            )
    if "timeline" in flags:
        name = "<stdin>" if flags["timeline"] == "-" else flags["timeline"]
        source = SourceText(name, recipe["timeline"], Path(name).parent)
        resolved = resolve_parsed(parse_timeline(source), found.chunk, overrides, size)
    else:
        resolved = resolve_timeline(
            found.chunk, moves=found.moves, poses=found.poses, overrides=overrides, size=size
        )
    if height is None and preset["name"] == _BUILT_IN:
        height = _BUILT_IN_HEIGHT
    camera = camera_of(resolved.compiled, height, *frame_range(found.frames, resolved.compiled.frames))
    camera = replace(camera, width=parse_size(found.size)[1])
    return camera if found.interpolate is None else interpolated(camera, exact_fps(found.interpolate))


def interpolated(camera: RecordedCamera, fps: Fraction) -> RecordedCamera:
    """Return the camera of frames interpolated to a rate, which neither pass a cut nor the last rendered frame."""
    ratio = fps / exact_fps(camera.fps)
    rows = np.arange(Rescale(fps=fps).encoded_frames(len(camera.poses), exact_fps(camera.fps))) / float(ratio)
    whole = np.floor(rows + 1e-9)
    rows = np.where(np.isin(whole + 1, camera.cuts) | (rows < whole), whole, rows)
    return replace(
        camera,
        poses=sample_path(camera.poses, rows),
        lenses=sample_rows(camera.lenses, rows),
        fps=float(fps),
        cuts=tuple(math.ceil(cut * ratio) for cut in camera.cuts),
    )


def camera_of(
    compiled: CompiledTimeline, height: float | None, first: int = 0, end: int | None = None
) -> RecordedCamera:
    """Return the camera of a compiled timeline from frame `first` on, up to before `end`, None for its last."""
    if height is not None:
        height += float(compiled.poses[0, 1, 3] - compiled.poses[first, 1, 3])
    rows = slice(first, compiled.frames if end is None else end)
    cuts = tuple(start - first for start, _ in compiled.cuts if start > first)
    fps, poses = compiled.grid.fps, compiled.poses[rows]
    return RecordedCamera(poses, compiled.intrinsics[rows], fps, compiled.scale, cuts, height)
