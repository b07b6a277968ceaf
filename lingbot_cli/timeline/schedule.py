"""When each event happens, to the video frame."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.diagnostics import NOWHERE, Enough, Item, Problem, Problems, TimelineError
from lingbot_cli.timeline.files import CameraPath, Files
from lingbot_cli.timeline.load import Said, Timeline
from lingbot_cli.timeline.schema import (
    Action,
    Cut,
    End,
    Event,
    Header,
    Keys,
    Move,
    Poses,
    Spanned,
    Turn,
    Wait,
)
from lingbot_cli.timeline.times import MAX_FRAMES, Grid, Time, clock

LASTING = (Keys, Move, Turn, Poses, Action, Wait)


@dataclass(frozen=True)
class Slot:
    """An event from video frame `start` to before `end`, with the file it names."""

    event: Event
    start: int
    end: int
    path: CameraPath | None = None
    image: Path | None = None
    item: Item = NOWHERE


@dataclass(frozen=True)
class Schedule:
    """The header and every event on the grid of frames; `frames` is the film's exact length."""

    header: Header
    grid: Grid
    slots: tuple[Slot, ...]
    frames: int


def schedule(
    timeline: Timeline,
    chunk: int,
    *,
    fps: int | None = None,
    duration: Time | None = None,
    allow_outside: bool = False,
) -> Schedule:
    """Put every event on its frames; TimelineError with everything that is wrong.

    `chunk` is the world's latent frames a chunk; `fps` and `duration` win over the header. A shorter
    `duration` cuts the film off.
    """
    made, problems = attempt(timeline, chunk, fps=fps, duration=duration, allow_outside=allow_outside)
    if problems:
        raise TimelineError(timeline.source, problems)
    return made


def attempt(
    timeline: Timeline,
    chunk: int,
    *,
    fps: int | None = None,
    duration: Time | None = None,
    allow_outside: bool = False,
) -> tuple[Schedule, list[Problem]]:
    """The schedule as far as it goes, and every problem in it, in the order of lines."""
    grid = Grid(fps or timeline.header.fps, chunk)
    problems = Problems(timeline.problems)
    files = Files(timeline, problems, allow_outside=allow_outside)
    try:
        slots, frames = _slots(timeline, grid, files, problems, duration)
    except Enough:
        slots, frames = [], 0
    return Schedule(timeline.header, grid, tuple(slots), frames), sorted(set(problems))


def _slots(
    timeline: Timeline, grid: Grid, files: Files, problems: Problems, duration: Time | None
) -> tuple[list[Slot], int]:
    """Every event on its frames, and the film's length. Errors: UsageError for a `duration` out of reach."""
    limit = None
    if timeline.header.duration is not None and duration is None:
        limit = _limit(timeline, grid.moment(timeline.header.duration), problems)
    slots: list[Slot] = []
    now = Fraction(0)
    for said in timeline.said:
        start = now if said.event.at is None else grid.moment(said.event.at)
        slot, now = _place(said, start, grid, files, problems, limit)
        slots.append(slot)
    last = max((slot.end for slot in slots), default=0)
    ends = [slot.start for slot in slots if isinstance(slot.event, End)]
    frames = min(ends, default=last if limit is None else limit)
    if duration is not None:
        frames = nearest(grid.moment(duration))
        if not 0 < frames <= MAX_FRAMES:
            raise UsageError(f"--duration {duration} is {frames} frames; expected 1 to {MAX_FRAMES}")
    if frames == 0 and not problems:
        message = "the film has no length; expected an event with a span, or `duration` in the header"
        problems.append(Problem(timeline.top.place(), message))
    return slots, frames


def _limit(timeline: Timeline, moment: Fraction, problems: Problems) -> int | None:
    frames = nearest(moment)
    if 0 < frames <= MAX_FRAMES:
        return frames
    message = f"`duration` is {frames} frames; expected 1 to {MAX_FRAMES}"
    problems.append(Problem(timeline.top.place(("duration",)), message))
    return None


def _place(
    said: Said, start: Fraction, grid: Grid, files: Files, problems: Problems, limit: int | None
) -> tuple[Slot, Fraction]:
    """One event on its frames, and when the next begins."""
    event, (end, path, image) = said.event, extent(said, start, grid, files)
    key = "until" if isinstance(event, Spanned) and event.until is not None else "for"
    first, last = nearest(start), nearest(end)
    if end < start:
        message = (
            f"ends at {_when(grid, last)} before it begins at {_when(grid, first)}; expected a later `until`"
        )
        problems.append(Problem(said.item.place((key,)), message))
        first, last, end = last, last, start
    elif isinstance(event, LASTING) and first == last:
        message = f"lasts no whole frame; expected more than half of 1/{grid.fps} s"
        problems.append(Problem(said.item.place((key,)), message))
    if last > MAX_FRAMES:
        message = f"ends at frame {last}; expected a film of at most {MAX_FRAMES} frames"
        problems.append(Problem(said.item.place((key,)), message))
        first, last, end = min(first, MAX_FRAMES), MAX_FRAMES, Fraction(0)
    elif limit is not None and (last > limit or first >= limit):
        problems.append(Problem(said.item.place(), _past(first, last, limit, grid)))
    return Slot(event, first, last, path, image, said.item), end


def extent(
    said: Said, start: Fraction, grid: Grid, files: Files
) -> tuple[Fraction, CameraPath | None, Path | None]:
    """When an event that begins at frame `start` ends, in frames, and what the files it names hold."""
    event, end, path, image = said.event, start, None, None
    if isinstance(event, Poses):
        path = files.camera_path(said, event)
        end = start + (len(path.poses) if path else 1)
    if isinstance(event, Cut):
        image = files.image(said, event)
    if isinstance(event, Spanned):
        if event.span is not None:
            end = grid.after(start, event.span)
        elif event.until is not None:
            end = grid.moment(event.until)
    return end, path, image


def _past(first: int, last: int, limit: int, grid: Grid) -> str:
    what = f"begins at {_when(grid, first)}" if first >= limit else f"ends at {_when(grid, last)}"
    return f"{what}, past the film's `duration`; expected it before {_when(grid, limit)}"


def _when(grid: Grid, frame: int) -> str:
    return f"{clock(grid.seconds(frame))} (frame {frame})"


def nearest(moment: Fraction) -> int:
    """The nearest frame, halves up, so neighbours never overlap."""
    top, bottom = moment.numerator, moment.denominator
    return (2 * top + bottom) // (2 * bottom)
