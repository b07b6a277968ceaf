"""Resolution of a camera source (timeline file, moves or folder of poses) into a compiled timeline."""

from collections.abc import Callable
from dataclasses import dataclass

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.compile import CompiledTimeline, compile_timeline
from lingbot_cli.timeline.load import Timeline, load_timeline
from lingbot_cli.timeline.moves import parse_moves
from lingbot_cli.timeline.poses_dir import read_poses_dir
from lingbot_cli.timeline.schedule import schedule_timeline
from lingbot_cli.timeline.schema import TimelineHeader
from lingbot_cli.timeline.times import Time
from lingbot_cli.timeline.warnings import find_warnings


@dataclass(frozen=True)
class ResolvedTimeline:
    """The header's settings and the compiled video; `warnings` are about events without effect.

    `timeline` is the parsed source, None for a folder of poses: a pipe can be read only once.
    """

    header: TimelineHeader
    compiled: CompiledTimeline
    warnings: tuple[str, ...] = ()
    timeline: Timeline | None = None


@dataclass(frozen=True)
class TimelineOverrides:
    """Command-line values that win over the header's; None leaves the header's."""

    prompt: str | None = None
    fps: int | None = None
    duration: Time | None = None
    scale: str | None = None  # "fixed" or "clip"
    allow_outside: bool = False


def resolve_timeline(
    chunk: int,
    *,
    timeline: str | None = None,
    moves: str | None = None,
    poses: str | None = None,
    overrides: TimelineOverrides = TimelineOverrides(),
    stdin: Callable[[int], bytes] | None = None,
) -> ResolvedTimeline:
    """Resolve exactly one of a timeline file (`-` is standard input), moves or a folder of poses.

    `chunk` is the model's latent frames a chunk. Errors: UsageError unless exactly one is given, and with
    every problem of that one.
    """
    options = {"--timeline": timeline, "--moves": moves, "--poses": poses}
    given = [flag for flag, value in options.items() if value is not None]
    if not given:
        raise UsageError("no camera given", hint="give one of --timeline, --moves or --poses")
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other", hint="give one of them")
    if poses is not None:
        compiled = read_poses_dir(
            poses, chunk, prompt=overrides.prompt or "", fps=overrides.fps, scale=overrides.scale
        )
        return ResolvedTimeline(TimelineHeader(), compiled)
    parsed = parse_moves(moves) if moves is not None else load_timeline(timeline or "-", stdin)
    schedule = schedule_timeline(
        parsed, chunk, fps=overrides.fps, duration=overrides.duration, allow_outside=overrides.allow_outside
    )
    warnings = [f"{parsed.source.name}:{w.location.line}: {w.message}" for w in find_warnings(schedule)]
    compiled = compile_timeline(schedule, prompt=overrides.prompt, scale=overrides.scale or "fixed")
    return ResolvedTimeline(parsed.header, compiled, tuple(warnings), parsed)
