"""Where a film's camera and words come from: a timeline, moves or a folder of poses."""

from collections.abc import Callable
from dataclasses import dataclass

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.compile import CompiledTimeline, compile_timeline
from lingbot_cli.timeline.load import load_timeline
from lingbot_cli.timeline.moves import parse_moves
from lingbot_cli.timeline.poses_dir import read_poses_dir
from lingbot_cli.timeline.schedule import schedule_timeline
from lingbot_cli.timeline.schema import TimelineHeader
from lingbot_cli.timeline.times import Time
from lingbot_cli.timeline.warnings import find_warnings


@dataclass(frozen=True)
class ResolvedTimeline:
    """What was asked for: the header's settings and the whole track; `warnings` is what it will not show."""

    header: TimelineHeader
    compiled: CompiledTimeline
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimelineOverrides:
    """What the command line says over the header; None leaves the header's word."""

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
    flags: TimelineOverrides = TimelineOverrides(),
    stdin: Callable[[int], bytes] | None = None,
) -> ResolvedTimeline:
    """The film of exactly one of a timeline file (`-` is standard input), moves or a folder of poses.

    `chunk` is the world's latent frames a chunk. UsageError when none or two are given, and with every
    error of the one that is.
    """
    said = {"--timeline": timeline, "--moves": moves, "--poses": poses}
    given = [flag for flag, source in said.items() if source is not None]
    if not given:
        raise UsageError("what should the camera do?", hint="give one of --timeline, --moves or --poses")
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} both say what the camera does", hint="give one of them")
    if poses is not None:
        prompt = flags.prompt or ""
        return ResolvedTimeline(
            TimelineHeader(), read_poses_dir(poses, chunk, prompt=prompt, fps=flags.fps, scale=flags.scale)
        )
    read = (
        parse_moves(moves)
        if moves is not None
        else load_timeline("-" if timeline is None else timeline, stdin)
    )
    timed = schedule_timeline(
        read, chunk, fps=flags.fps, duration=flags.duration, allow_outside=flags.allow_outside
    )
    unseen = [f"{read.source.name}:{note.location.line}: {note.message}" for note in find_warnings(timed)]
    track = compile_timeline(timed, prompt=flags.prompt, scale=flags.scale or "fixed")
    return ResolvedTimeline(read.header, track, tuple(unseen))
