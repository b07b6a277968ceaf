"""Resolution of a camera source (timeline, moves or camera files) into a compiled timeline."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.camera.scale import FIXED, ScaleRule
from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.check import find_warnings
from lingbot_cli.timeline.chunks import FrameGrid, nearest_frame
from lingbot_cli.timeline.compile import CompiledTimeline, compile_timeline
from lingbot_cli.timeline.input_files import NO_OPTIONS, PathOptions, load_camera_path
from lingbot_cli.timeline.load import Timeline, load_timeline
from lingbot_cli.timeline.moves import parse_moves
from lingbot_cli.timeline.poses_dir import ACTION_FILE, is_published, read_poses_dir
from lingbot_cli.timeline.schedule import ScheduledEvent, TimelineSchedule, path_frames, schedule_timeline
from lingbot_cli.timeline.schema import PosesEvent, TimelineHeader
from lingbot_cli.timeline.times import MAX_FRAMES, Time

FrameSize = Callable[[TimelineHeader], tuple[int, int]]
"""Chooses the height and width of the video's frames, in pixels."""


@dataclass(frozen=True)
class ResolvedTimeline:
    """The header's settings and the compiled video; `warnings` are notes on events and camera files.

    `timeline` is the parsed source, None for camera files: a pipe can be read only once.
    """

    header: TimelineHeader
    compiled: CompiledTimeline
    warnings: tuple[str, ...] = ()
    timeline: Timeline | None = None


@dataclass(frozen=True)
class TimelineOverrides:
    """Command-line values that win over the header's; None leaves the header's.

    `scale` counts for the whole video; `path` is for the camera files of --poses alone.
    """

    prompt: str | None = None
    fps: float | None = None
    duration: Time | None = None
    scale: ScaleRule | None = None
    allow_outside: bool = False
    path: PathOptions = NO_OPTIONS


_PATH_FLAGS = {
    "intrinsics": "--intrinsics",
    "intrinsics_size": "--intrinsics-size",
    "convention": "--convention",
    "matrix": "--matrix",
    "fps": "--poses-fps",
}


def resolve_timeline(
    chunk: int,
    *,
    timeline: str | None = None,
    moves: str | None = None,
    poses: str | None = None,
    overrides: TimelineOverrides = TimelineOverrides(),
    stdin: Callable[[int], bytes] | None = None,
    size: FrameSize | None = None,
) -> ResolvedTimeline:
    """Resolve exactly one of a timeline file (`-` is standard input), moves or camera files.

    `chunk` is the model's latent frames a chunk; `size` chooses the frames' size, 832×480 without it. Errors:
    UsageError unless exactly one is given, and with every problem of that one.
    """
    options = {"--timeline": timeline, "--moves": moves, "--poses": poses}
    given = [flag for flag, value in options.items() if value is not None]
    if not given:
        raise UsageError("no camera given", hint="give one of --timeline, --moves or --poses")
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other", hint="give one of them")
    check_camera_flags(overrides, given[0])
    if poses is not None:
        return _resolve_poses(poses, chunk, overrides, size)
    parsed = parse_moves(moves) if moves is not None else load_timeline(timeline or "-", stdin)
    return resolve_parsed(parsed, chunk, overrides, size)


def resolve_parsed(
    parsed: Timeline, chunk: int, overrides: TimelineOverrides, size: FrameSize | None = None
) -> ResolvedTimeline:
    """Resolve a parsed timeline. Errors: UsageError with every problem of it."""
    schedule = schedule_timeline(
        parsed, chunk, fps=overrides.fps, duration=overrides.duration, allow_outside=overrides.allow_outside
    )
    warnings = [f"{parsed.source.name}:{w.location.line}: {w.message}" for w in find_warnings(schedule)]
    header = _fitted(parsed.header, size)
    schedule = TimelineSchedule(header, schedule.grid, schedule.events, schedule.frames)
    compiled = compile_timeline(schedule, prompt=overrides.prompt, scale=overrides.scale or FIXED)
    return ResolvedTimeline(header, compiled, tuple(warnings), parsed)


def check_camera_flags(overrides: TimelineOverrides, source: str) -> None:
    """Refuse flags that do not apply to the camera's `source`: --timeline, --moves or --poses. Errors: UsageError."""
    if overrides.allow_outside and source != "--timeline":
        raise UsageError(f"--allow-outside has no effect on {source}", hint="leave it out")
    if source == "--poses":
        return
    for name, flag in _PATH_FLAGS.items():
        if getattr(overrides.path, name) is not None:
            hint = "give it as a key of the `poses` event" if source == "--timeline" else "leave it out"
            raise UsageError(f"{flag} needs --poses", hint=hint)


def _fitted(header: TimelineHeader, size: FrameSize | None) -> TimelineHeader:
    return header if size is None else header.fitted(*size(header))


def _resolve_poses(
    poses: str, chunk: int, overrides: TimelineOverrides, size: FrameSize | None
) -> ResolvedTimeline:
    """Resolve camera files: a row a frame, or at their rate."""
    path = Path(poses)
    header = _fitted(TimelineHeader(), size)
    options = PathOptions(**{**vars(overrides.path), "scale": overrides.scale})
    prompt = overrides.prompt or ""
    if is_published(path) and options.fps is None:
        compiled, notes = read_poses_dir(
            path,
            chunk,
            prompt=prompt,
            fps=overrides.fps,
            duration=overrides.duration,
            options=options,
            camera=header.camera,
        )
        return ResolvedTimeline(header, compiled, tuple(f"{poses}: {note}" for note in notes))
    lens_file = Path(options.intrinsics) if options.intrinsics is not None else None
    loaded = load_camera_path(path, poses, options, lens_file)
    notes = loaded.notes
    if (path / ACTION_FILE).exists():
        notes = (*notes, f"{ACTION_FILE} is left out, as its rows are not frames")
    fps = overrides.fps or (loaded.source.frame_fps if loaded.source else None) or header.fps
    grid = FrameGrid(fps, chunk)
    end = max(1, nearest_frame(path_frames(loaded, grid)))
    frames = end if overrides.duration is None else nearest_frame(grid.to_frames(overrides.duration))
    if not 0 < max(frames, end) <= MAX_FRAMES or frames < 1:
        flag = f"--duration {overrides.duration}" if overrides.duration is not None else poses
        raise UsageError(f"{flag} is {max(frames, end)} frames; expected 1 to {MAX_FRAMES}")
    event = ScheduledEvent(PosesEvent.model_construct(poses=poses), 0, end, loaded)
    schedule = TimelineSchedule(header, grid, (event,), frames)
    compiled = compile_timeline(schedule, prompt=prompt or None)
    return ResolvedTimeline(header, compiled, tuple(f"{poses}: {note}" for note in notes))
