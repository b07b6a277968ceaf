"""Events as they come: each acts from the next chunk on, and what was said can be written as a file."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lingbot_cli.camera.trajectory import FrameMotion, PathSegment, integrate
from lingbot_cli.control import Control
from lingbot_cli.timeline.chunks import FrameChunk, next_chunk
from lingbot_cli.timeline.compile import (
    CompiledTimeline,
    TimedText,
    frame_intrinsics,
    frame_keys,
    motion_steps,
    path_segment,
    stack_poses,
    wasd_states,
)
from lingbot_cli.timeline.controls import chunk_control
from lingbot_cli.timeline.diagnostics import UNLOCATED, Problems, SourceItem, SourceText, TimelineError
from lingbot_cli.timeline.files import TimelineFiles
from lingbot_cli.timeline.live_events import OPEN_END, end_replaced_events, is_empty, schedule_live_event
from lingbot_cli.timeline.load import ParsedEvent, Timeline
from lingbot_cli.timeline.schedule import ScheduledEvent, nearest_frame
from lingbot_cli.timeline.schema import (
    ActionEvent,
    CutEvent,
    EndEvent,
    MarkerEvent,
    PromptEvent,
    SpannedEvent,
    WaitEvent,
)
from lingbot_cli.timeline.times import FrameGrid, Time
from lingbot_cli.timeline.validate import parse_event, parse_header


@dataclass(frozen=True)
class Effect:
    """The event said as `number` (from 1) took effect in `chunk` at video frame `frame` of the film."""

    number: int
    chunk: int
    frame: int


@dataclass
class _ActiveEvent:
    """An event on its frames; `end` moves when what it holds is changed."""

    number: int
    raw: dict[str, Any] | None
    slot: ScheduledEvent
    segment: PathSegment | None = None


class LiveTimeline:
    """A film whose events are said while it is made; one thread may say them and another take Controls.

    `header` is a timeline's header as plain values; `prompt`, `fps` and `duration` win over it.
    Files that events name are looked for in `folder`. With `keep_history` off, `record` is not to be had, and
    a stream that runs for weeks does not grow. Errors: TimelineError.
    """

    def __init__(
        self,
        chunk: int,
        header: Mapping[str, Any] | None = None,
        *,
        prompt: str | None = None,
        fps: int | None = None,
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
        self._index = -1  # of the chunk that was taken last
        self._last_chunk: FrameChunk | None = None
        self._active: list[_ActiveEvent] = []
        self._history: list[_ActiveEvent] = []
        self._waiting: list[_ActiveEvent] = []  # for their effect
        self._effects: list[Effect] = []
        opening = self._raw_header.get("prompt")
        self._prompts = [TimedText(0, opening)] if opening else []
        self._frame_motion = FrameMotion(())
        self._trajectory = integrate(self._frame_motions())

    def _frame_motions(self) -> Iterator[FrameMotion]:
        while True:
            yield self._frame_motion

    @property
    def frame(self) -> int:
        """The video frame at which what is said now acts: the first of the next chunk."""
        return self._last_chunk.end if self._last_chunk is not None else 0

    def apply_raw(self, raw: Any, item: SourceItem = UNLOCATED, source: SourceText | None = None) -> int:
        """Take an event as plain values and return its number; TimelineError leaves everything as it was.

        Without `at`, or with one that is past, it acts now. Without a span keys and actions hold until the
        next ones, a move goes at walking and a turn at looking pace.
        """
        source = source or self._source
        problems = Problems()
        event = parse_event(raw, item, problems, live=True)
        if event is None:
            raise TimelineError(source, problems)
        heading = Timeline(self.header, (), self._source)
        files = TimelineFiles(heading, problems, allow_outside=self._allow_outside)
        with self._lock:
            slot = schedule_live_event(
                ParsedEvent(event, item), self.frame, self.grid, self.header.camera, files, problems
            )
            if problems:
                raise TimelineError(source, problems)
            self._add(slot, {"wait": None} if raw == "wait" else raw)
            return self._number

    def add_scheduled(self, slot: ScheduledEvent) -> None:
        """Take an event that stands on its frames already; it is not recorded."""
        with self._lock:
            self._add(slot, None)

    def _add(self, slot: ScheduledEvent, raw: dict[str, Any] | None) -> None:
        self._number += 1
        slot = self._make_room(slot)
        entry = _ActiveEvent(self._number, raw, slot, path_segment(slot))
        self._active.append(entry)
        self._waiting.append(entry)
        if self._keep_history and raw is not None:
            self._history.append(entry)
        if isinstance(slot.event, PromptEvent):
            self._prompts.append(TimedText(slot.start, slot.event.prompt, recache=slot.event.recache))
            self._prompts.sort(key=lambda text: text.start)
        if isinstance(slot.event, EndEvent):
            self._limit = min(self._limit, slot.start)

    def close_input(self) -> None:
        """Nothing more will be said: the film ends when all that has a span is over."""
        with self._lock:
            ends = [s.slot.end for s in self._active if s.slot.end < OPEN_END]
            self._limit = min(self._limit, max([self.frame, *ends]))

    def next_control(self) -> Control | None:
        """The next chunk's Control, with all that was said until now; None when the film is over."""
        with self._lock:
            start = self.frame
            if start >= self._limit:
                self._note_effects(self._limit + 1, self._limit)
                return None
            due = [s for s in self._active if isinstance(s.slot.event, CutEvent) and s.slot.start <= start]
            due.sort(key=lambda s: s.slot.start)
            scene = start if due or self._last_chunk is None else self._last_chunk.scene_start
            chunk = next_chunk(start, scene, self.grid.chunk, 0 if due else None)
            track = self._track(chunk, ((start, due[-1].slot.image),) if due else ())
            told = chunk_control(track, chunk, self._last_chunk)
            self._index += 1
            self._note_effects(chunk.end, start)
            self._prune(chunk)
            self._last_chunk = chunk
            return told

    def __iter__(self) -> Iterator[Control]:
        return iter(self.next_control, None)

    def take_effects(self) -> list[Effect]:
        """What has taken effect since this was asked last, in the order of frames."""
        with self._lock:
            taken, self._effects = self._effects, []
            return sorted(taken, key=lambda effect: effect.frame)

    def record(self) -> list[dict[str, Any]]:
        """The header and the events, as lines of a timeline file that gives the very same Controls."""
        with self._lock:
            last = min(self.frame, self._limit)
            lines = [dict(self._raw_header)]
            for entry in self._history:
                slot = entry.slot
                if (
                    entry.raw is None
                    or slot.start >= self.frame
                    or is_empty(slot)
                    or isinstance(slot.event, WaitEvent | EndEvent)
                ):
                    continue
                # What is held or begins in the last chunk's surplus still moves its latents.
                end = self.frame if slot.end == OPEN_END else slot.end
                line = {k: v for k, v in entry.raw.items() if k not in ("at", "for", "until")}
                line["at"] = f"{slot.start}f"
                if isinstance(slot.event, SpannedEvent):
                    line["for"] = f"{end - slot.start}f"
                lines.append(line)
            return [*lines, {"end": True, "at": f"{last}f"}]

    def _make_room(self, slot: ScheduledEvent) -> ScheduledEvent:
        """End what the new event changes, and let go of what had no time at all."""
        slot, changed = end_replaced_events(slot, [entry.slot for entry in self._active])
        for entry, now in zip(self._active, changed, strict=True):
            entry.slot = now
        self._active = [s for s in self._active if not is_empty(s.slot)]
        return slot

    def _track(self, chunk: FrameChunk, cuts: tuple[Any, ...]) -> CompiledTimeline:
        """The one chunk as a track of its own."""
        shown = range(chunk.start, chunk.end)
        slots = tuple(
            replace(s.slot, end=min(s.slot.end, chunk.end)) if s.slot.end == OPEN_END else s.slot
            for s in self._active
        )
        keys = frame_keys(slots, shown)
        flown = []
        for frame, step in zip(
            shown, motion_steps(slots, self.header.camera, self.grid, shown).tolist(), strict=True
        ):
            segments = tuple(
                s.segment
                for s in self._active
                if s.segment and 0 <= frame - s.segment.start < len(s.segment.poses)
            )
            self._frame_motion = FrameMotion(tuple(step), segments, frame == chunk.scene_start)
            flown.append(next(self._trajectory))
        return CompiledTimeline(
            grid=self.grid,
            frames=min(chunk.end, self._limit),
            chunks=(chunk,),
            poses=stack_poses(flown),
            intrinsics=frame_intrinsics(slots, self.header.camera, shown),
            actions=wasd_states(keys),
            keys=keys,
            prompts=tuple(self._prompts),
            action_texts=tuple(
                TimedText(s.slot.start, s.slot.event.action, s.slot.end)
                for s in self._active
                if isinstance(s.slot.event, ActionEvent)
            ),
            cuts=cuts,
            markers=tuple(
                TimedText(s.slot.start, s.slot.event.marker)
                for s in self._active
                if isinstance(s.slot.event, MarkerEvent)
            ),
            first_frame=chunk.start,
        )

    def _note_effects(self, end: int, boundary: int) -> None:
        """Words and cuts act at the boundary a chunk begins with, all else at its own frame before `end`."""
        waiting = []
        for entry in self._waiting:
            start = entry.slot.start
            words = isinstance(entry.slot.event, PromptEvent | ActionEvent | CutEvent)
            if start > boundary if words else start >= end:
                waiting.append(entry)
            else:
                frame = boundary if words else start
                self._effects.append(Effect(entry.number, max(0, self._index), frame))
        self._waiting = waiting

    def _prune(self, chunk: FrameChunk) -> None:
        """Let go of what can no longer change anything, so a long stream stays small."""
        lens = max(
            (
                s.slot.start
                for s in self._active
                if s.slot.camera_path and s.slot.camera_path.intrinsics is not None
            ),
            default=-1,
        )
        kept = []
        for entry in self._active:
            slot = entry.slot
            lends_lens = (
                slot.camera_path is not None
                and slot.camera_path.intrinsics is not None
                and slot.start >= lens
            )
            cut_is_over = isinstance(slot.event, CutEvent) and slot.start <= chunk.start
            if not cut_is_over and (slot.end > chunk.end or slot.start > chunk.start or lends_lens):
                kept.append(entry)
            else:
                entry.slot, entry.segment = replace(slot, camera_path=None), None
        self._active = kept
        standing = [text for text in self._prompts if text.start <= chunk.start]
        self._prompts = standing[-1:] + self._prompts[len(standing) :]
