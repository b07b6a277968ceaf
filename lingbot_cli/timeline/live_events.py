"""What live events change: where each is put, and what holds until the next of its kind."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from lingbot_cli.timeline.diagnostics import Problem, Problems
from lingbot_cli.timeline.files import Files
from lingbot_cli.timeline.load import Said
from lingbot_cli.timeline.schedule import LASTING, Slot, extent, nearest
from lingbot_cli.timeline.schema import Action, Camera, Event, Keys, Move, Turn, Wait
from lingbot_cli.timeline.times import MAX_FRAMES, Grid, Time

FOREVER = 2**62  # the end of what holds until it is changed
_TAP = 4  # video frames, one latent frame: the least that keys are held


def place(said: Said, now: int, grid: Grid, camera: Camera, files: Files, problems: Problems) -> Slot:
    """A live event on its frames: from `now` on, or from its `at` if that is later.

    Without a span keys, actions and waits hold; a move takes its time at walking, a turn at looking pace.
    """
    event = said.event
    start = Fraction(now)
    if event.at is not None:
        start = max(start, grid.moment(event.at))
    first = nearest(start)
    unbounded = isinstance(event, Keys | Action | Wait | Move | Turn) and event.span is event.until is None
    if unbounded and isinstance(event, Keys | Action | Wait):
        if isinstance(event, Keys) and event.ease != "linear":
            message = "an ease without a span; expected `for: 2s` or the like"
            problems.append(Problem(said.item.place(("ease",)), message))
        return Slot(event, first, FOREVER)
    if unbounded and isinstance(event, Move | Turn):
        event = event.model_copy(update={"span": Time(Fraction(_own_pace(event, grid, camera)), "f")})
    end, path, image = extent(Said(event, said.item), start, grid, files)
    last = nearest(end)
    if isinstance(event, LASTING) and not first < last <= first + MAX_FRAMES:
        message = f"lasts {last - first} frames from frame {first} on; expected 1 to {MAX_FRAMES}"
        problems.append(Problem(said.item.place(), message))
    return Slot(event, first, last, path, image)


def _own_pace(event: Move | Turn, grid: Grid, camera: Camera) -> int:
    """How many frames a move takes at walking pace, or a turn at looking pace."""
    if isinstance(event, Move):
        frames = math.hypot(event.move.forward, event.move.right, event.move.up) * grid.fps
    else:
        turn = event.turn
        frames = max(abs(turn.yaw), abs(turn.pitch), abs(turn.roll)) / camera.turn_rate
    return max(1, math.ceil(frames))


def make_room(slot: Slot, others: Sequence[Slot]) -> tuple[Slot, list[Slot]]:
    """A new event and the others once it has ended what it changes.

    Keys, and waits, end keys that are held; an action ends an action that holds. Keys that were pressed
    and let go before a chunk came are a tap: they last one latent frame, and what follows waits for it.
    """
    family = _family(slot.event)
    changed = list(others)
    if family is None:
        return slot, changed
    if slot.event.at is None:
        # Behind the taps that are still to come.
        queue = [other.start for other in others if _family(other.event) == family and other.event.at is None]
        slot = _moved(slot, max([slot.start, *queue]) - slot.start)
    later = [other.start for other in others if _family(other.event) == family and other.start > slot.start]
    for index, other in enumerate(others):
        if other.end < FOREVER or _family(other.event) != family or other.start > slot.start:
            continue
        end = slot.start
        if other.start == end and not _letters(other.event) <= _letters(slot.event):
            end += _TAP
            slot = _moved(slot, _TAP)
        changed[index] = replace(other, end=end)
    if slot.end == FOREVER and later:
        slot = replace(slot, end=max(slot.start, min(later)))
    return slot, changed


def _moved(slot: Slot, frames: int) -> Slot:
    end = slot.end if slot.end == FOREVER else slot.end + frames
    return replace(slot, start=slot.start + frames, end=end)


def vanished(slot: Slot) -> bool:
    """Whether something that should last was changed before it had any time."""
    return isinstance(slot.event, LASTING) and slot.end <= slot.start


def _family(event: Event) -> str | None:
    """Events of one family change each other."""
    if isinstance(event, Keys | Wait):
        return "keys"
    return "action" if isinstance(event, Action) else None


def _letters(event: Event) -> set[str]:
    return set(event.keys) if isinstance(event, Keys) else set()
