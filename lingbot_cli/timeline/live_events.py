"""Live events on their frames: the start of each, and the held keys and actions that it ends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from lingbot_cli.camera.keys import PITCH, YAW
from lingbot_cli.camera.trajectory import Segment
from lingbot_cli.timeline.chunks import FrameChunk, FrameGrid, nearest_frame
from lingbot_cli.timeline.diagnostics import Problems
from lingbot_cli.timeline.input_files import TimelineFiles
from lingbot_cli.timeline.load import ParsedEvent
from lingbot_cli.timeline.named_moves import AxisMove
from lingbot_cli.timeline.schedule import ScheduledEvent, resolve_end
from lingbot_cli.timeline.schema import (
    ActionEvent,
    CameraSettings,
    CutEvent,
    EndEvent,
    KeysEvent,
    MoveEvent,
    SpannedEvent,
    TimelineEvent,
    TurnEvent,
    WaitEvent,
)
from lingbot_cli.timeline.times import Time
from lingbot_cli.video_size import MAX_FRAMES

OPEN_END = 2**62  # the end of an event that holds until it is replaced
_TAP_FRAMES = 4  # one latent frame: the shortest press


@dataclass
class LiveEvent:
    """An event on its frames, with the values that it came as; its end moves when a later event replaces it."""

    number: int
    raw: dict[str, Any] | None
    scheduled: ScheduledEvent
    segment: Segment | None = None


def schedule_live_event(
    parsed: ParsedEvent,
    now: int,
    grid: FrameGrid,
    camera: CameraSettings,
    files: TimelineFiles,
    problems: Problems,
) -> ScheduledEvent:
    """Put an event on its frames: from `now` on, or from its `at` if that is later.

    Without a span keys, actions and waits hold; a move takes its time at walking, a turn at looking pace.
    """
    event = parsed.event
    start = Fraction(now)
    if event.at is not None:
        start = max(start, grid.to_frames(event.at))
    first = nearest_frame(start)
    if isinstance(event, SpannedEvent) and event.span is event.until is None:
        if isinstance(event, KeysEvent | ActionEvent | WaitEvent):
            if isinstance(event, KeysEvent) and event.ease != "linear":
                message = "an ease without a span; expected `for: 2s` or the like"
                problems.add(parsed.item.locate(("ease",)), message)
            return ScheduledEvent(event, first, OPEN_END)
        if isinstance(event, MoveEvent | TurnEvent | AxisMove):
            span = Time(Fraction(_default_frames(event, grid, camera)), "f")
            event = event.model_copy(update={"span": span})
    end, path, image = resolve_end(ParsedEvent(event, parsed.item), start, grid, files)
    last = nearest_frame(end)
    if isinstance(event, SpannedEvent) and not first < last <= first + MAX_FRAMES:
        message = f"lasts {last - first} frames from frame {first} on; expected 1 to {MAX_FRAMES}"
        problems.add(parsed.item.locate(), message)
    return ScheduledEvent(event, first, last, path, image)


def _default_frames(event: MoveEvent | TurnEvent | AxisMove, grid: FrameGrid, camera: CameraSettings) -> int:
    """Return the frames of a move at walking pace, or of a turn at looking pace."""
    if isinstance(event, AxisMove):
        turns = event.axis in (YAW, PITCH)
        frames = abs(event.amount) / camera.turn_rate if turns else abs(event.amount) * grid.fps
    elif isinstance(event, MoveEvent):
        frames = math.hypot(event.move.forward, event.move.right, event.move.up) * grid.fps
    else:
        turn = event.turn
        frames = max(abs(turn.yaw), abs(turn.pitch), abs(turn.roll)) / camera.turn_rate
    return max(1, math.ceil(frames))


def end_replaced_events(
    new: ScheduledEvent, others: Sequence[ScheduledEvent]
) -> tuple[ScheduledEvent, list[ScheduledEvent]]:
    """Return a new event and the others, once it has ended those that it replaces.

    Keys and waits end held keys; an action ends a held action. Keys pressed and released before a chunk came
    are a tap: they last one latent frame, and later keys wait for it.
    """
    group = _exclusive_group(new.event)
    changed = list(others)
    if group is None:
        return new, changed
    rivals = [(index, other) for index, other in enumerate(others) if _exclusive_group(other.event) == group]
    if new.event.at is None:
        # Behind the taps that are still to come.
        queue = [other.start for _, other in rivals if other.event.at is None]
        new = _delayed(new, max([new.start, *queue]) - new.start)
    later = [other.start for _, other in rivals if other.start > new.start]
    for index, other in rivals:
        if other.end < OPEN_END or other.start > new.start:
            continue
        end = new.start
        if other.start == end and not _letters(other.event) <= _letters(new.event):
            end += _TAP_FRAMES
            new = _delayed(new, _TAP_FRAMES)
        changed[index] = replace(other, end=end)
    if new.end == OPEN_END and later:
        new = replace(new, end=max(new.start, min(later)))
    return new, changed


def _delayed(scheduled: ScheduledEvent, frames: int) -> ScheduledEvent:
    end = scheduled.end if scheduled.end == OPEN_END else scheduled.end + frames
    return replace(scheduled, start=scheduled.start + frames, end=end)


def _exclusive_group(event: TimelineEvent) -> str | None:
    """Return the group of events that replace each other, None for those that overlap."""
    if isinstance(event, KeysEvent | WaitEvent):
        return "keys"
    return "action" if isinstance(event, ActionEvent) else None


def _letters(event: TimelineEvent) -> set[str]:
    return set(event.keys) if isinstance(event, KeysEvent) else set()


def is_empty(scheduled: ScheduledEvent) -> bool:
    """Return whether an event that should last was replaced before its first frame."""
    return isinstance(scheduled.event, SpannedEvent) and scheduled.end <= scheduled.start


def prune(active: Sequence[LiveEvent], chunk: FrameChunk) -> list[LiveEvent]:
    """Return the events that can still change a frame after `chunk`; the others let go of their paths."""

    def has_intrinsics(event: LiveEvent) -> bool:
        path = event.scheduled.camera_path
        return path is not None and path.intrinsics is not None

    newest = max((e.scheduled.start for e in active if has_intrinsics(e)), default=-1)
    remaining = []
    for live in active:
        scheduled = live.scheduled
        taken = isinstance(scheduled.event, CutEvent) and scheduled.start <= chunk.start
        in_force = has_intrinsics(live) and scheduled.start >= newest
        if not taken and (scheduled.end > chunk.end or scheduled.start > chunk.start or in_force):
            remaining.append(live)
        else:
            live.scheduled, live.segment = replace(scheduled, camera_path=None), None
    return remaining


def recorded_line(live: LiveEvent, frame: int) -> dict[str, Any] | None:
    """Return an event as a line of a timeline file, as it acted before `frame`; None if it did not."""
    scheduled = live.scheduled
    skipped = is_empty(scheduled) or isinstance(scheduled.event, WaitEvent | EndEvent)
    if live.raw is None or scheduled.start >= frame or skipped:
        return None
    line = {key: value for key, value in live.raw.items() if key not in ("at", "for", "until")}
    line["at"] = f"{scheduled.start}f"
    if isinstance(scheduled.event, SpannedEvent):
        # Keys held, or begun in the last chunk's surplus, still move its latents.
        end = frame if scheduled.end == OPEN_END else scheduled.end
        line["for"] = f"{end - scheduled.start}f"
    return line
