"""Warnings about events that have no effect on the video."""

from lingbot_cli.timeline.chunks import split_into_chunks
from lingbot_cli.timeline.diagnostics import Problem
from lingbot_cli.timeline.schedule import TimelineSchedule
from lingbot_cli.timeline.schema import ActionEvent, CutEvent, MarkerEvent, PromptEvent, SpannedEvent


def find_warnings(schedule: TimelineSchedule) -> list[Problem]:
    """Return every event that begins after the video's end, or after its last chunk where it waits for one."""
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
    return sorted(found)
