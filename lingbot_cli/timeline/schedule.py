"""When each event happens, to the video frame."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.chunks import FrameGrid, nearest_frame
from lingbot_cli.timeline.diagnostics import (
    UNLOCATED,
    Problem,
    Problems,
    SourceItem,
    TimelineError,
    TooManyProblems,
)
from lingbot_cli.timeline.files import CameraPath, TimelineFiles
from lingbot_cli.timeline.load import ParsedEvent, Timeline
from lingbot_cli.timeline.schema import (
    ActionEvent,
    CutEvent,
    EndEvent,
    KeysEvent,
    MoveEvent,
    PosesEvent,
    SpannedEvent,
    TimelineEvent,
    TimelineHeader,
    TurnEvent,
    WaitEvent,
)
from lingbot_cli.timeline.times import MAX_FRAMES, Time, format_clock

LASTING_EVENTS = (KeysEvent, MoveEvent, TurnEvent, PosesEvent, ActionEvent, WaitEvent)


@dataclass(frozen=True)
class ScheduledEvent:
    """An event from video frame `start` to before `end`, with the file it names."""

    event: TimelineEvent
    start: int
    end: int
    camera_path: CameraPath | None = None
    image: Path | None = None
    item: SourceItem = UNLOCATED


@dataclass(frozen=True)
class TimelineSchedule:
    """The header and every event on the grid of frames; `frames` is the film's exact length."""

    header: TimelineHeader
    grid: FrameGrid
    events: tuple[ScheduledEvent, ...]
    frames: int


def schedule_timeline(
    timeline: Timeline,
    chunk: int,
    *,
    fps: int | None = None,
    duration: Time | None = None,
    allow_outside: bool = False,
) -> TimelineSchedule:
    """Put every event on its frames; TimelineError with everything that is wrong.

    `chunk` is the world's latent frames a chunk; `fps` and `duration` win over the header. A shorter
    `duration` cuts the film off.
    """
    made, problems = try_schedule(timeline, chunk, fps=fps, duration=duration, allow_outside=allow_outside)
    if problems:
        raise TimelineError(timeline.source, problems)
    return made


def try_schedule(
    timeline: Timeline,
    chunk: int,
    *,
    fps: int | None = None,
    duration: Time | None = None,
    allow_outside: bool = False,
) -> tuple[TimelineSchedule, list[Problem]]:
    """The schedule as far as it goes, and every problem in it, in the order of lines."""
    grid = FrameGrid(fps or timeline.header.fps, chunk)
    problems = Problems(timeline.problems)
    files = TimelineFiles(timeline, problems, allow_outside=allow_outside)
    try:
        slots, frames = _schedule_events(timeline, grid, files, problems, duration)
    except TooManyProblems:
        slots, frames = [], 0
    return TimelineSchedule(timeline.header, grid, tuple(slots), frames), sorted(set(problems))


def _schedule_events(
    timeline: Timeline, grid: FrameGrid, files: TimelineFiles, problems: Problems, duration: Time | None
) -> tuple[list[ScheduledEvent], int]:
    """Every event on its frames, and the film's length. Errors: UsageError for a `duration` out of reach."""
    limit = None
    if timeline.header.duration is not None and duration is None:
        limit = _header_frames(timeline, grid.to_frames(timeline.header.duration), problems)
    slots: list[ScheduledEvent] = []
    now = Fraction(0)
    for said in timeline.events:
        start = now if said.event.at is None else grid.to_frames(said.event.at)
        slot, now = _schedule_event(said, start, grid, files, problems, limit)
        slots.append(slot)
    last = max((slot.end for slot in slots), default=0)
    ends = [slot.start for slot in slots if isinstance(slot.event, EndEvent)]
    frames = min(ends, default=last if limit is None else limit)
    if duration is not None:
        frames = nearest_frame(grid.to_frames(duration))
        if not 0 < frames <= MAX_FRAMES:
            raise UsageError(f"--duration {duration} is {frames} frames; expected 1 to {MAX_FRAMES}")
    if frames == 0 and not problems:
        message = "the film has no length; expected an event with a span, or `duration` in the header"
        problems.append(Problem(timeline.header_item.locate(), message))
    return slots, frames


def _header_frames(timeline: Timeline, moment: Fraction, problems: Problems) -> int | None:
    frames = nearest_frame(moment)
    if 0 < frames <= MAX_FRAMES:
        return frames
    message = f"`duration` is {frames} frames; expected 1 to {MAX_FRAMES}"
    problems.append(Problem(timeline.header_item.locate(("duration",)), message))
    return None


def _schedule_event(
    said: ParsedEvent,
    start: Fraction,
    grid: FrameGrid,
    files: TimelineFiles,
    problems: Problems,
    limit: int | None,
) -> tuple[ScheduledEvent, Fraction]:
    """One event on its frames, and when the next begins."""
    event, (end, path, image) = said.event, resolve_end(said, start, grid, files)
    key = "until" if isinstance(event, SpannedEvent) and event.until is not None else "for"
    first, last = nearest_frame(start), nearest_frame(end)
    if end < start:
        begin, stop = _format_frame(grid, first), _format_frame(grid, last)
        message = f"ends at {stop} before it begins at {begin}; expected a later `until`"
        problems.append(Problem(said.item.locate((key,)), message))
        first, last, end = last, last, start
    elif isinstance(event, LASTING_EVENTS) and first == last:
        message = f"lasts no whole frame; expected more than half of 1/{grid.fps} s"
        problems.append(Problem(said.item.locate((key,)), message))
    if last > MAX_FRAMES:
        message = f"ends at frame {last}; expected a film of at most {MAX_FRAMES} frames"
        problems.append(Problem(said.item.locate((key,)), message))
        first, last, end = min(first, MAX_FRAMES), MAX_FRAMES, Fraction(0)
    elif limit is not None and (last > limit or first >= limit):
        problems.append(Problem(said.item.locate(), _past_duration_message(first, last, limit, grid)))
    return ScheduledEvent(event, first, last, path, image, said.item), end


def resolve_end(
    said: ParsedEvent, start: Fraction, grid: FrameGrid, files: TimelineFiles
) -> tuple[Fraction, CameraPath | None, Path | None]:
    """When an event that begins at frame `start` ends, in frames, and what the files it names hold."""
    event, end, path, image = said.event, start, None, None
    if isinstance(event, PosesEvent):
        path = files.load_camera_path(said, event)
        end = start + (len(path.poses) if path else 1)
    if isinstance(event, CutEvent):
        image = files.find_image(said, event)
    if isinstance(event, SpannedEvent):
        if event.span is not None:
            end = grid.span_end(start, event.span)
        elif event.until is not None:
            end = grid.to_frames(event.until)
    return end, path, image


def _past_duration_message(first: int, last: int, limit: int, grid: FrameGrid) -> str:
    what = (
        f"begins at {_format_frame(grid, first)}"
        if first >= limit
        else f"ends at {_format_frame(grid, last)}"
    )
    return f"{what}, past the film's `duration`; expected it before {_format_frame(grid, limit)}"


def _format_frame(grid: FrameGrid, frame: int) -> str:
    return f"{format_clock(grid.seconds(frame))} (frame {frame})"
