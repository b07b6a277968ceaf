"""What a timeline says that its film will not show: no error, but worth knowing before it is made."""

from lingbot_cli.timeline.chunks import split_into_chunks
from lingbot_cli.timeline.diagnostics import Problem
from lingbot_cli.timeline.schedule import TimelineSchedule
from lingbot_cli.timeline.schema import ActionEvent, CutEvent, MarkerEvent, PromptEvent, SpannedEvent


def find_warnings(schedule: TimelineSchedule) -> list[Problem]:
    """Every event that begins after the film's end, or after its last chunk where it needs one to begin."""
    cuts = [s for s in schedule.events if isinstance(s.event, CutEvent)]
    chunks = split_into_chunks(schedule.frames, schedule.grid.chunk, sorted(s.start for s in cuts))
    last = chunks[-1].start
    found = []
    for slot in schedule.events:
        if isinstance(slot.event, PromptEvent | ActionEvent | CutEvent) and slot.start > last:
            message = (
                f"takes effect at a chunk's beginning, and the last chunk begins at frame {last}, before "
                f"frame {slot.start}; nothing of it will be seen"
            )
            found.append(Problem(slot.item.locate(), message))
        elif isinstance(slot.event, SpannedEvent) and slot.start >= schedule.frames:
            message = (
                f"begins at frame {slot.start}, and the film ends at {schedule.frames}; it is not played"
            )
            found.append(Problem(slot.item.locate(), message))
        elif isinstance(slot.event, MarkerEvent) and slot.start >= schedule.frames:
            found.append(Problem(slot.item.locate(), "stands at the film's very end; the chapter is empty"))
    return sorted(found)
