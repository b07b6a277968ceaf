"""Where a film's camera and words come from: a timeline, moves or a folder of poses."""

from collections.abc import Callable
from dataclasses import dataclass

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.compile import Track, compile_track
from lingbot_cli.timeline.load import load
from lingbot_cli.timeline.moves import parse_moves
from lingbot_cli.timeline.poses_dir import read_poses
from lingbot_cli.timeline.schedule import schedule
from lingbot_cli.timeline.schema import Header
from lingbot_cli.timeline.times import Time
from lingbot_cli.timeline.warnings import notes


@dataclass(frozen=True)
class Film:
    """What was asked for: the header's settings and the whole track; `notes` is what it will not show."""

    header: Header
    track: Track
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flags:
    """What the command line says over the header; None leaves the header's word."""

    prompt: str | None = None
    fps: int | None = None
    duration: Time | None = None
    scale: str | None = None  # "fixed" or "clip"
    allow_outside: bool = False


def film(
    chunk: int,
    *,
    timeline: str | None = None,
    moves: str | None = None,
    poses: str | None = None,
    flags: Flags = Flags(),
    stdin: Callable[[int], bytes] | None = None,
) -> Film:
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
        return Film(Header(), read_poses(poses, chunk, prompt=prompt, fps=flags.fps, scale=flags.scale))
    read = parse_moves(moves) if moves is not None else load("-" if timeline is None else timeline, stdin)
    timed = schedule(read, chunk, fps=flags.fps, duration=flags.duration, allow_outside=flags.allow_outside)
    unseen = [f"{read.source.name}:{note.place.line}: {note.message}" for note in notes(timed)]
    track = compile_track(timed, prompt=flags.prompt, scale=flags.scale or "fixed")
    return Film(read.header, track, tuple(unseen))
