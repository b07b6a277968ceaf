"""Check of a timeline: its facts, all errors, and warnings about events without effect and about camera files."""

from collections.abc import Callable

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.diagnostics import Problem, SourceText, TimelineError
from lingbot_cli.timeline.input_files import CameraPath
from lingbot_cli.timeline.load import load_timeline
from lingbot_cli.timeline.schedule import TimelineSchedule, schedule_timeline
from lingbot_cli.timeline.schema import ActionEvent, CutEvent, MarkerEvent, PromptEvent, SpannedEvent
from lingbot_cli.timeline.times import format_clock, format_fps


def check_timeline(
    file: str, stdin: Callable[[int], bytes], chunk: int, *, allow_outside: bool
) -> tuple[dict[str, object], int, list[str]]:
    """Return the facts of a timeline file, the number of its errors, and lines with both or with its warnings."""
    try:
        timeline = load_timeline(file, stdin)
        schedule = schedule_timeline(timeline, chunk, allow_outside=allow_outside)
    except TimelineError as error:
        errors = [problem.as_dict(error.source) for problem in error.problems]
        return {"file": file, "errors": errors}, len(errors), error.rendered
    except UsageError as error:
        line = f"{error}; {error.hint}" if error.hint else f"{error}"
        return {"file": file, "errors": [{"file": file, "message": str(error)}]}, 1, [line]
    warnings = find_warnings(schedule)
    facts = {
        "file": file,
        "errors": [],
        "notes": [warning.as_dict(timeline.source) for warning in warnings],
        "events": len(schedule.events),
        "frames": schedule.frames,
        "fps": schedule.grid.fps,
        "seconds": schedule.grid.seconds(schedule.frames),
        "chunks": len(schedule.chunks()),
    }
    summary = (
        f"{file}: good, {len(schedule.events)} events, {format_clock(schedule.grid.seconds(schedule.frames))}, "
        f"{schedule.frames} frames at {format_fps(schedule.grid.fps)} fps, {facts['chunks']} chunks"
    )
    return facts, 0, [summary, *warning_lines(warnings, timeline.source)]


def warning_lines(warnings: list[Problem], source: SourceText) -> list[str]:
    """Return warnings with their locations as lines."""
    lines = source.text.split("\n")
    return [f"note: {warning.render(source, lines)}" for warning in warnings]


def path_notes(path: CameraPath, fps: float) -> tuple[str, ...]:
    """Return the notes on a camera file in a video of a frame rate."""
    written = path.source.frame_fps if path.source is not None else None
    if written is None or written == fps or path.fps is not None:
        return path.notes
    rate = format_fps(written)
    keep = f"`fps: {rate}` keeps its speed in a video at {format_fps(fps)} fps"
    note = f"written at {rate} fps, a row a frame; {keep}"
    return (*path.notes, note)


def find_warnings(schedule: TimelineSchedule) -> list[Problem]:
    """Return the notes on camera files, and on events that begin after the end, or after the last chunk's start."""
    last = schedule.chunks()[-1].start
    found = []
    for scheduled in schedule.events:
        event, start = scheduled.event, scheduled.start
        if isinstance(event, PromptEvent | ActionEvent | CutEvent) and start > last:
            message = (
                f"takes effect at a chunk's start, and the last chunk starts at frame {last}, before "
                f"frame {start}; it has no effect"
            )
        elif isinstance(event, SpannedEvent) and start >= schedule.frames:
            message = f"begins at frame {start}, and the video ends at {schedule.frames}; it has no effect"
        elif isinstance(event, MarkerEvent) and start >= schedule.frames:
            message = "marks the end of the video; the chapter is empty"
        else:
            continue
        found.append(Problem(scheduled.item.locate(), message))
    for scheduled in schedule.events:
        path = scheduled.camera_path
        notes = path_notes(path, schedule.grid.fps) if path is not None else ()
        found += [Problem(scheduled.item.locate(("poses",)), note) for note in notes]
    return sorted(found)
