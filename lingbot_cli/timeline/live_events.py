"""What live events change: where each is put, and what holds until the next of its kind."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from lingbot_cli.timeline.diagnostics import Problem, Problems
from lingbot_cli.timeline.files import TimelineFiles
from lingbot_cli.timeline.load import ParsedEvent
from lingbot_cli.timeline.schedule import LASTING_EVENTS, ScheduledEvent, nearest_frame, resolve_end
from lingbot_cli.timeline.schema import (
    ActionEvent,
    CameraSettings,
    KeysEvent,
    MoveEvent,
    TimelineEvent,
    TurnEvent,
    WaitEvent,
)
from lingbot_cli.timeline.times import MAX_FRAMES, FrameGrid, Time

OPEN_END = 2**62  # the end of what holds until it is changed
_TAP_FRAMES = 4  # video frames, one latent frame: the least that keys are held


def schedule_live_event(
    said: ParsedEvent,
    now: int,
    grid: FrameGrid,
    camera: CameraSettings,
    files: TimelineFiles,
    problems: Problems,
) -> ScheduledEvent:
    """A live event on its frames: from `now` on, or from its `at` if that is later.

    Without a span keys, actions and waits hold; a move takes its time at walking, a turn at looking pace.
    """
    event = said.event
    start = Fraction(now)
    if event.at is not None:
        start = max(start, grid.to_frames(event.at))
    first = nearest_frame(start)
    unbounded = (
        isinstance(event, KeysEvent | ActionEvent | WaitEvent | MoveEvent | TurnEvent)
        and event.span is event.until is None
    )
    if unbounded and isinstance(event, KeysEvent | ActionEvent | WaitEvent):
        if isinstance(event, KeysEvent) and event.ease != "linear":
            message = "an ease without a span; expected `for: 2s` or the like"
            problems.append(Problem(said.item.locate(("ease",)), message))
        return ScheduledEvent(event, first, OPEN_END)
    if unbounded and isinstance(event, MoveEvent | TurnEvent):
        event = event.model_copy(update={"span": Time(Fraction(_default_frames(event, grid, camera)), "f")})
    end, path, image = resolve_end(ParsedEvent(event, said.item), start, grid, files)
    last = nearest_frame(end)
    if isinstance(event, LASTING_EVENTS) and not first < last <= first + MAX_FRAMES:
        message = f"lasts {last - first} frames from frame {first} on; expected 1 to {MAX_FRAMES}"
        problems.append(Problem(said.item.locate(), message))
    return ScheduledEvent(event, first, last, path, image)


def _default_frames(event: MoveEvent | TurnEvent, grid: FrameGrid, camera: CameraSettings) -> int:
    """How many frames a move takes at walking pace, or a turn at looking pace."""
    if isinstance(event, MoveEvent):
        frames = math.hypot(event.move.forward, event.move.right, event.move.up) * grid.fps
    else:
        turn = event.turn
        frames = max(abs(turn.yaw), abs(turn.pitch), abs(turn.roll)) / camera.turn_rate
    return max(1, math.ceil(frames))


def end_replaced_events(
    slot: ScheduledEvent, others: Sequence[ScheduledEvent]
) -> tuple[ScheduledEvent, list[ScheduledEvent]]:
    """A new event and the others once it has ended what it changes.

    Keys, and waits, end keys that are held; an action ends an action that holds. Keys that were pressed
    and let go before a chunk came are a tap: they last one latent frame, and what follows waits for it.
    """
    family = _exclusive_group(slot.event)
    changed = list(others)
    if family is None:
        return slot, changed
    if slot.event.at is None:
        # Behind the taps that are still to come.
        queue = [
            other.start
            for other in others
            if _exclusive_group(other.event) == family and other.event.at is None
        ]
        slot = _delayed(slot, max([slot.start, *queue]) - slot.start)
    later = [
        other.start
        for other in others
        if _exclusive_group(other.event) == family and other.start > slot.start
    ]
    for index, other in enumerate(others):
        if other.end < OPEN_END or _exclusive_group(other.event) != family or other.start > slot.start:
            continue
        end = slot.start
        if other.start == end and not _letters(other.event) <= _letters(slot.event):
            end += _TAP_FRAMES
            slot = _delayed(slot, _TAP_FRAMES)
        changed[index] = replace(other, end=end)
    if slot.end == OPEN_END and later:
        slot = replace(slot, end=max(slot.start, min(later)))
    return slot, changed


def _delayed(slot: ScheduledEvent, frames: int) -> ScheduledEvent:
    end = slot.end if slot.end == OPEN_END else slot.end + frames
    return replace(slot, start=slot.start + frames, end=end)


def is_empty(slot: ScheduledEvent) -> bool:
    """Whether something that should last was changed before it had any time."""
    return isinstance(slot.event, LASTING_EVENTS) and slot.end <= slot.start


def _exclusive_group(event: TimelineEvent) -> str | None:
    """Events of one family change each other."""
    if isinstance(event, KeysEvent | WaitEvent):
        return "keys"
    return "action" if isinstance(event, ActionEvent) else None


def _letters(event: TimelineEvent) -> set[str]:
    return set(event.keys) if isinstance(event, KeysEvent) else set()
