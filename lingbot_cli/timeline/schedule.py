"""Schedule of a timeline: every event on its video frames."""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.chunks import FrameChunk, FrameGrid, nearest_frame, split_into_chunks
from lingbot_cli.timeline.diagnostics import UNLOCATED, Problems, SourceItem, TimelineError, TooManyProblems
from lingbot_cli.timeline.input_files import CameraPath, TimelineFiles
from lingbot_cli.timeline.load import ParsedEvent, Timeline
from lingbot_cli.timeline.schema import (
    CutEvent,
    EndEvent,
    PosesEvent,
    SpannedEvent,
    TimelineEvent,
    TimelineHeader,
)
from lingbot_cli.timeline.times import Time, format_clock, format_fps
from lingbot_cli.video_size import MAX_FRAMES


@dataclass(frozen=True)
class ScheduledEvent:
    """An event from video frame `start` to before `end`, with the files that it names."""

    event: TimelineEvent
    start: int
    end: int
    camera_path: CameraPath | None = None
    image: Path | None = None
    item: SourceItem = UNLOCATED


@dataclass(frozen=True)
class TimelineSchedule:
    """The header and every event on the frame grid; `frames` is the video's exact length."""

    header: TimelineHeader
    grid: FrameGrid
    events: tuple[ScheduledEvent, ...]
    frames: int

    def chunks(self) -> list[FrameChunk]:
        """Return the chunks of the video, in scenes that begin at its cuts."""
        cuts = sorted(each.start for each in self.events if isinstance(each.event, CutEvent))
        return split_into_chunks(self.frames, self.grid.chunk, cuts)


def schedule_timeline(
    timeline: Timeline,
    chunk: int,
    *,
    fps: float | None = None,
    duration: Time | None = None,
    allow_outside: bool = False,
) -> TimelineSchedule:
    """Put every event on its frames. Errors: TimelineError with all problems.

    `chunk` is the model's latent frames a chunk; `fps` and `duration` win over the header. A shorter
    `duration` cuts the video off.
    """
    problems = Problems(timeline.problems)
    files = TimelineFiles(timeline, problems, allow_outside=allow_outside)
    grid = FrameGrid(fps or timeline.header.fps, chunk)
    events: list[ScheduledEvent] = []
    frames = 0
    with suppress(TooManyProblems):
        events, frames = _schedule_events(timeline, grid, files, problems, duration)
    if problems:
        raise TimelineError(timeline.source, problems)
    return TimelineSchedule(timeline.header, grid, tuple(events), frames)


def _schedule_events(
    timeline: Timeline, grid: FrameGrid, files: TimelineFiles, problems: Problems, duration: Time | None
) -> tuple[list[ScheduledEvent], int]:
    """Return the events on their frames, and the video's length. Errors: UsageError for `duration`."""
    limit = None
    if timeline.header.duration is not None and duration is None:
        limit = nearest_frame(grid.to_frames(timeline.header.duration))
        if not 0 < limit <= MAX_FRAMES:
            message = f"`duration` is {limit} frames; expected 1 to {MAX_FRAMES}"
            problems.add(timeline.header_item.locate(("duration",)), message)
            limit = None
    events: list[ScheduledEvent] = []
    now = Fraction(0)
    for parsed in timeline.events:
        start = now if parsed.event.at is None else grid.to_frames(parsed.event.at)
        scheduled, now = _schedule_event(parsed, start, grid, files, problems, limit)
        events.append(scheduled)
    last = max((scheduled.end for scheduled in events), default=0)
    ends = [scheduled.start for scheduled in events if isinstance(scheduled.event, EndEvent)]
    frames = min(ends, default=last if limit is None else limit)
    if duration is not None:
        frames = nearest_frame(grid.to_frames(duration))
        if not 0 < frames <= MAX_FRAMES:
            raise UsageError(f"--duration {duration} is {frames} frames; expected 1 to {MAX_FRAMES}")
    if frames == 0 and not problems:
        message = "the video has no length; expected an event with a span, or `duration` in the header"
        problems.add(timeline.header_item.locate(), message)
    return events, frames


def _schedule_event(
    parsed: ParsedEvent,
    start: Fraction,
    grid: FrameGrid,
    files: TimelineFiles,
    problems: Problems,
    limit: int | None,
) -> tuple[ScheduledEvent, Fraction]:
    event, (end, path, image) = parsed.event, resolve_end(parsed, start, grid, files)
    key = "until" if isinstance(event, SpannedEvent) and event.until is not None else "for"
    first, last = nearest_frame(start), nearest_frame(end)
    if end < start:
        begin, stop = _format_frame(grid, first), _format_frame(grid, last)
        message = f"ends at {stop} before it begins at {begin}; expected a later `until`"
        problems.add(parsed.item.locate((key,)), message)
        first, last, end = last, last, start
    elif isinstance(event, SpannedEvent) and first == last:
        message = f"lasts no whole frame; expected more than half of 1/{format_fps(grid.fps)} s"
        problems.add(parsed.item.locate((key,)), message)
    if last > MAX_FRAMES:
        message = f"ends at frame {last}; expected a video of at most {MAX_FRAMES} frames"
        problems.add(parsed.item.locate((key,)), message)
        first, last, end = min(first, MAX_FRAMES), MAX_FRAMES, Fraction(0)
    elif limit is not None and (last > limit or first >= limit):
        late = (
            f"begins at {_format_frame(grid, first)}"
            if first >= limit
            else f"ends at {_format_frame(grid, last)}"
        )
        message = f"{late}, past the video's `duration`; expected it before {_format_frame(grid, limit)}"
        problems.add(parsed.item.locate(), message)
    return ScheduledEvent(event, first, last, path, image, parsed.item), end


def resolve_end(
    parsed: ParsedEvent, start: Fraction, grid: FrameGrid, files: TimelineFiles
) -> tuple[Fraction, CameraPath | None, Path | None]:
    """Return an event's end in frames, its camera path and its image."""
    event, end, path, image = parsed.event, start, None, None
    if isinstance(event, PosesEvent):
        path = files.load_camera_path(parsed, event)
        end = start + (path_frames(path, grid) if path else 1)
    if isinstance(event, CutEvent):
        image = files.find_image(parsed, event)
    if isinstance(event, SpannedEvent):
        if event.span is not None:
            end = grid.span_end(start, event.span)
        elif event.until is not None:
            end = grid.to_frames(event.until)
    return end, path, image


def path_frames(path: CameraPath, grid: FrameGrid) -> Fraction:
    """Return the length of a path in video frames: a row each, or at its rate the time from first to last row."""
    rows = len(path.poses)
    if path.fps is None or rows == 1:
        return Fraction(rows)
    return (rows - 1) * grid.rate / Fraction(path.fps).limit_denominator(10**6)


def _format_frame(grid: FrameGrid, frame: int) -> str:
    return f"{format_clock(grid.seconds(frame))} (frame {frame})"
