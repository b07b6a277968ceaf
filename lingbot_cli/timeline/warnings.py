"""Warnings about events that have no effect on the video, and about what their camera files suggest."""

from lingbot_cli.timeline.chunks import split_into_chunks
from lingbot_cli.timeline.diagnostics import Problem
from lingbot_cli.timeline.input_files import CameraPath
from lingbot_cli.timeline.schedule import TimelineSchedule
from lingbot_cli.timeline.schema import ActionEvent, CutEvent, MarkerEvent, PromptEvent, SpannedEvent
from lingbot_cli.timeline.times import format_fps


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
    cuts = [e for e in schedule.events if isinstance(e.event, CutEvent)]
    chunks = split_into_chunks(schedule.frames, schedule.grid.chunk, sorted(e.start for e in cuts))
    last = chunks[-1].start
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
