"""A timeline that begins again when it is over, from wherever the camera is then."""

from collections.abc import Iterator
from dataclasses import replace

from lingbot_cli.control import Control
from lingbot_cli.timeline.live import LiveTimeline
from lingbot_cli.timeline.schedule import ScheduledEvent, TimelineSchedule
from lingbot_cli.timeline.schema import EndEvent, PromptEvent
from lingbot_cli.timeline.times import Time


def loop_timeline(
    timed: TimelineSchedule, *, prompt: str | None = None, duration: Time | None = None
) -> Iterator[Control]:
    """Controls without end, or for a `duration`; each round begins with the opening prompt."""
    header = timed.header.model_dump(by_alias=True, exclude_unset=True, exclude={"duration"})
    live = LiveTimeline(
        timed.grid.chunk, header, prompt=prompt, fps=timed.grid.fps, duration=duration, keep_history=False
    )
    slots = [
        slot for slot in timed.events if slot.start < timed.frames and not isinstance(slot.event, EndEvent)
    ]
    opening = prompt or timed.header.prompt
    if opening and any(isinstance(slot.event, PromptEvent) for slot in slots):
        slots.insert(0, ScheduledEvent(PromptEvent(prompt=opening), 0, 0))
    begun = 0  # frames up to which the rounds have been said
    while True:
        while begun < live.frame + 4 * timed.grid.chunk:
            for slot in slots:
                live.add_scheduled(replace(slot, start=begun + slot.start, end=begun + slot.end))
            begun += timed.frames
        told = live.next_control()
        live.take_effects()
        if told is None:
            return
        yield told
