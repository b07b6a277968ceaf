"""Live timeline: events applied while the video is generated, each from the next chunk on, and their record."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from lingbot_cli.camera.trajectory import Trajectory
from lingbot_cli.control import Control
from lingbot_cli.timeline.chunks import FrameChunk, FrameGrid, nearest_frame, next_chunk
from lingbot_cli.timeline.compile import CompiledTimeline, TimedText, chunk_control, compile_frames
from lingbot_cli.timeline.diagnostics import UNLOCATED, Problems, SourceItem, SourceText, TimelineError
from lingbot_cli.timeline.input_files import TimelineFiles
from lingbot_cli.timeline.live_events import (
    OPEN_END,
    LiveEvent,
    end_replaced_events,
    is_empty,
    prune,
    recorded_line,
    schedule_live_event,
)
from lingbot_cli.timeline.load import ParsedEvent, Timeline
from lingbot_cli.timeline.motion import motion_segment
from lingbot_cli.timeline.schedule import ScheduledEvent, TimelineSchedule
from lingbot_cli.timeline.schema import (
    ActionEvent,
    CutEvent,
    EndEvent,
    KeysEvent,
    PromptEvent,
    TurnAngles,
    TurnEvent,
)
from lingbot_cli.timeline.times import Time
from lingbot_cli.timeline.validate import parse_event, parse_header


@dataclass(frozen=True)
class Effect:
    """The event `number` (from 1) took effect in `chunk` at video frame `frame`."""

    number: int
    chunk: int
    frame: int


class LiveTimeline:
    """A timeline that grows while its Controls are taken; one thread may apply events, another take Controls.

    `header` is a timeline's header as plain values; `prompt`, `fps` and `duration` win over it.
    Files that events name are looked for in `folder`. Without `keep_history` there is no `record`, and a
    stream of weeks does not grow. Errors: TimelineError.
    """

    def __init__(
        self,
        chunk: int,
        header: Mapping[str, Any] | None = None,
        *,
        prompt: str | None = None,
        fps: float | None = None,
        duration: Time | None = None,
        folder: Path = Path(),
        allow_outside: bool = False,
        keep_history: bool = True,
    ) -> None:
        problems = Problems()
        self._raw_header = {"timeline": 1, **(header or {})}
        self.header = parse_header(self._raw_header, UNLOCATED, problems)
        self._source = SourceText("<live>", "", folder)
        if problems:
            raise TimelineError(self._source, problems)
        self.grid = FrameGrid(fps or self.header.fps, chunk)
        self._raw_header.pop("duration", None)
        self._raw_header["fps"] = self.grid.fps
        if prompt or self.header.prompt:
            self._raw_header["prompt"] = prompt or self.header.prompt
        duration = duration or self.header.duration
        self._limit = nearest_frame(self.grid.to_frames(duration)) if duration is not None else OPEN_END
        self._allow_outside = allow_outside
        self._keep_history = keep_history
        self._lock = threading.Lock()
        self._number = 0
        self._chunk_index = -1  # of the chunk that was taken last
        self._last_chunk: FrameChunk | None = None
        self._active: list[LiveEvent] = []
        self._history: list[LiveEvent] = []
        self._waiting: list[LiveEvent] = []  # for their effect
        self._effects: list[Effect] = []
        initial = self._raw_header.get("prompt")
        self._prompts = [TimedText(0, initial)] if initial else []
        self._trajectory = Trajectory()

    def fit_lens(self, height: int, width: int) -> None:
        """Set the lens for frames of a size; before the first Control."""
        self.header = self.header.fitted(height, width)

    @property
    def frame(self) -> int:
        """The first video frame of the next chunk: new events act from it on."""
        return self._last_chunk.end if self._last_chunk is not None else 0

    def hold_keys(self, keys: str, frame: int) -> int:
        """Hold valid key letters from a video frame on, until the next keys; an empty text releases."""
        event = KeysEvent.model_construct(keys=keys, at=Time(Fraction(frame), "f"))
        with self._lock:
            return self._add(ScheduledEvent(event, max(frame, self.frame), OPEN_END), {"keys": keys})

    def set_prompt(self, prompt: str) -> int:
        """Set the prompt, a non-empty text, from the next chunk on."""
        event = PromptEvent.model_construct(prompt=prompt.strip())
        with self._lock:
            return self._add(ScheduledEvent(event, self.frame, self.frame), {"prompt": prompt})

    def turn(self, yaw: float, pitch: float, frames: int) -> int:
        """Turn the view by degrees, evenly over the next video frames."""
        event = TurnEvent.model_construct(turn=TurnAngles.model_construct(yaw=yaw, pitch=pitch))
        with self._lock:
            scheduled = ScheduledEvent(event, self.frame, self.frame + frames)
            return self._add(scheduled, {"turn": {"yaw": yaw, "pitch": pitch}})

    def apply_raw(self, raw: Any, item: SourceItem = UNLOCATED, source: SourceText | None = None) -> int:
        """Validate and apply an event as plain values; return its number. TimelineError changes nothing.

        Without `at`, or with one that is past, it acts now. Without a span keys and actions hold until the
        next ones, a move goes at walking and a turn at looking pace.
        """
        source = source or self._source
        problems = Problems()
        event = parse_event(raw, item, problems, live=True)
        if event is None:
            raise TimelineError(source, problems)
        files = TimelineFiles(
            Timeline(self.header, (), self._source), problems, allow_outside=self._allow_outside
        )
        with self._lock:
            parsed = ParsedEvent(event, item)
            scheduled = schedule_live_event(
                parsed, self.frame, self.grid, self.header.camera, files, problems
            )
            if problems:
                raise TimelineError(source, problems)
            return self._add(scheduled, {"wait": None} if raw == "wait" else raw)

    def add_scheduled(self, scheduled: ScheduledEvent) -> None:
        """Add an event that is on its frames already; it is not recorded."""
        with self._lock:
            self._add(scheduled, None)

    def _add(self, scheduled: ScheduledEvent, raw: dict[str, Any] | None) -> int:
        self._number += 1
        if isinstance(scheduled.event, EndEvent) and scheduled.event.at is None:
            last = self._last_span_end()
            scheduled = replace(scheduled, start=last, end=last)
        scheduled, changed = end_replaced_events(scheduled, [live.scheduled for live in self._active])
        for live, now in zip(self._active, changed, strict=True):
            live.scheduled = now
        added = LiveEvent(
            self._number, raw, scheduled, motion_segment(scheduled, self.grid, self.header.camera)
        )
        self._active = [*(live for live in self._active if not is_empty(live.scheduled)), added]
        self._waiting.append(added)
        if self._keep_history and raw is not None:
            self._history.append(added)
        if isinstance(scheduled.event, PromptEvent):
            event = scheduled.event
            self._prompts.append(TimedText(scheduled.start, event.prompt, recache=event.recache))
            self._prompts.sort(key=lambda text: text.start)
        if isinstance(scheduled.event, EndEvent):
            self._limit = min(self._limit, scheduled.start)
        return self._number

    def close_input(self) -> None:
        """End the video when every event with a span is over."""
        with self._lock:
            self._limit = min(self._limit, self._last_span_end())

    def _last_span_end(self) -> int:
        ends = [live.scheduled.end for live in self._active if live.scheduled.end < OPEN_END]
        return max([self.frame, *ends])

    def next_control(self) -> Control | None:
        """Return the next chunk's Control, with all events until now; None when the video is over."""
        with self._lock:
            start = self.frame
            if start >= self._limit:
                self._note_effects(self._limit + 1, self._limit)
                return None
            events = [live.scheduled for live in self._active]
            cuts = [e for e in events if isinstance(e.event, CutEvent) and e.start <= start]
            cut = max(reversed(cuts), key=lambda e: e.start, default=None)
            scene_start = start if cut or self._last_chunk is None else self._last_chunk.scene_start
            chunk = next_chunk(start, scene_start, self.grid.chunk, 0 if cut else None)
            control = chunk_control(self._compile(chunk, cut), chunk, self._last_chunk)
            self._chunk_index += 1
            self._note_effects(chunk.end, start)
            self._active = prune(self._active, chunk)
            standing = [text for text in self._prompts if text.start <= start]
            self._prompts = standing[-1:] + self._prompts[len(standing) :]
            self._last_chunk = chunk
            return control

    def __iter__(self) -> Iterator[Control]:
        return iter(self.next_control, None)

    def take_effects(self) -> list[Effect]:
        """Return the effects since the last call, in the order of frames."""
        with self._lock:
            taken, self._effects = self._effects, []
            return sorted(taken, key=lambda effect: effect.frame)

    def record(self) -> list[dict[str, Any]]:
        """Return the header and the events, as lines of a timeline file with the very same Controls."""
        with self._lock:
            lines = [line for live in self._history if (line := recorded_line(live, self.frame)) is not None]
            return [dict(self._raw_header), *lines, {"end": True, "at": f"{min(self.frame, self._limit)}f"}]

    def _compile(self, chunk: FrameChunk, cut: ScheduledEvent | None) -> CompiledTimeline:
        return compile_frames(
            [
                replace(live.scheduled, end=chunk.end) if live.scheduled.end == OPEN_END else live.scheduled
                for live in self._active
            ],
            self.header.camera,
            self.grid,
            range(chunk.start, chunk.end),
            frames=min(chunk.end, self._limit),
            chunks=(chunk,),
            trajectory=self._trajectory,
            segments=[live.segment for live in self._active if live.segment is not None],
            prompts=tuple(self._prompts),
            cuts=((chunk.start, cut.image),) if cut is not None and cut.image is not None else (),
        )

    def _note_effects(self, end: int, boundary: int) -> None:
        """Note events in force: texts and cuts from a chunk's boundary, others from their frame before `end`."""
        waiting = []
        for live in self._waiting:
            start = live.scheduled.start
            at_boundary = isinstance(live.scheduled.event, PromptEvent | ActionEvent | CutEvent)
            if start > boundary if at_boundary else start >= end:
                waiting.append(live)
            else:
                frame = boundary if at_boundary else start
                self._effects.append(Effect(live.number, max(0, self._chunk_index), frame))
        self._waiting = waiting


def loop_timeline(
    schedule: TimelineSchedule, *, prompt: str | None = None, duration: Time | None = None
) -> Iterator[Control]:
    """Yield Controls round after round, without end or for a `duration`.

    Each round continues from the camera's pose and begins with the initial prompt.
    """
    header = schedule.header.model_dump(by_alias=True, exclude_unset=True, exclude={"duration"})
    grid = schedule.grid
    live = LiveTimeline(
        grid.chunk, header, prompt=prompt, fps=grid.fps, duration=duration, keep_history=False
    )
    events = [e for e in schedule.events if e.start < schedule.frames and not isinstance(e.event, EndEvent)]
    initial = prompt or schedule.header.prompt
    if initial and any(isinstance(e.event, PromptEvent) for e in events):
        events.insert(0, ScheduledEvent(PromptEvent(prompt=initial), 0, 0))
    added_frames = 0  # of the rounds added so far
    while True:
        while added_frames < live.frame + 4 * grid.chunk:
            for e in events:
                live.add_scheduled(replace(e, start=added_frames + e.start, end=added_frames + e.end))
            added_frames += schedule.frames
        control = live.next_control()
        live.take_effects()
        if control is None:
            return
        yield control
