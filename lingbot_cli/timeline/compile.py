"""Compilation of a schedule: camera, prompts and cuts of every video frame, and a Control per chunk."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from lingbot_cli.camera.interpolate import sample_rows
from lingbot_cli.camera.keys import WASD, wasd_held
from lingbot_cli.camera.pose import relative_poses
from lingbot_cli.camera.scale import FIXED, FIXED_SCALE, ScaleRule, StepSizes
from lingbot_cli.camera.trajectory import FrameMotion, Segment, Trajectory
from lingbot_cli.control import Control
from lingbot_cli.prompt_cleaning import join_sentences
from lingbot_cli.timeline.chunks import FrameChunk, FrameGrid
from lingbot_cli.timeline.input_files import PathReport
from lingbot_cli.timeline.motion import motion_segment, motion_steps, path_rows, sample_segment
from lingbot_cli.timeline.named_moves import NamedMove
from lingbot_cli.timeline.schedule import ScheduledEvent, TimelineSchedule
from lingbot_cli.timeline.schema import (
    ActionEvent,
    CameraSettings,
    CutEvent,
    KeysEvent,
    MarkerEvent,
    PromptEvent,
)


@dataclass(frozen=True)
class TimedText:
    """A text from video frame `start`; an action's lasts until before `end`."""

    start: int
    text: str
    end: int = 0
    recache: bool = False


@dataclass(frozen=True, eq=False)
class CompiledTimeline:
    """A video per frame; N is the end of its last chunk, so that the surplus has poses too.

    `poses` [N, 4, 4] float64 camera-to-world; `intrinsics` [N, 4] float64 for 832×480; `actions` [N, 4]
    float32, w a s d held; `keys`: the letters held, one text a frame. `frames` is the video's exact length.
    Translations are divided by `scale`, chosen by `scale_rule`. Row 0 is frame `first_frame`: 0, or a live
    chunk's start. `paths` are the camera files followed.
    """

    grid: FrameGrid
    frames: int
    chunks: tuple[FrameChunk, ...]
    poses: np.ndarray
    intrinsics: np.ndarray
    actions: np.ndarray
    keys: tuple[str, ...]
    prompts: tuple[TimedText, ...]
    action_texts: tuple[TimedText, ...]
    cuts: tuple[tuple[int, Path], ...]
    markers: tuple[TimedText, ...]
    named_moves: tuple[TimedText, ...] = ()
    scale: float = FIXED_SCALE
    scale_rule: ScaleRule = FIXED
    first_frame: int = 0
    paths: tuple[PathReport, ...] = ()

    def prompt_at(self, frame: int) -> str:
        """Return the prompt in force at a chunk's first frame, without actions."""
        return next((p.text for p in reversed(self.prompts) if p.start <= frame), "")

    def latent_steps(self) -> np.ndarray:
        """Return the lengths between the latent frames of every scene, one after the other."""
        scenes = groupby(self.chunks, lambda chunk: chunk.scene_start)
        latents = [[frame for chunk in chunks for frame in chunk.latent_frames] for _, chunks in scenes]
        steps = [relative_poses(self.poses[rows], scale=1.0)[:, :3, 3] for rows in latents]
        return np.linalg.norm(np.concatenate(steps), axis=-1)

    def step_sizes(self) -> StepSizes:
        """Return the median and the largest step in walking steps, as the model reads them."""
        return StepSizes.of(self.latent_steps(), self.scale)

    def scaled(self, rule: ScaleRule) -> "CompiledTimeline":
        """Return the video with the scale that a rule chooses for all of it (model §7)."""
        return replace(self, scale=rule.scale(self.latent_steps()), scale_rule=rule)


def compile_timeline(
    schedule: TimelineSchedule, *, prompt: str | None = None, scale: ScaleRule = FIXED
) -> CompiledTimeline:
    """Compile a whole video; `prompt` wins over the header's, `scale` counts for the whole video (model §7)."""
    events, header = schedule.events, schedule.header
    cuts = [(e.start, e.image) for e in events if isinstance(e.event, CutEvent) and e.image is not None]
    cuts.sort(key=lambda cut: cut[0])
    chunks = schedule.chunks()
    shown = range(chunks[-1].end)
    initial = prompt if prompt is not None else header.prompt
    prompts = [TimedText(0, initial)] if initial else []
    prompts += [
        TimedText(e.start, e.event.prompt, recache=e.event.recache)
        for e in events
        if isinstance(e.event, PromptEvent)
    ]
    compiled = compile_frames(
        events,
        header.camera,
        schedule.grid,
        shown,
        frames=schedule.frames,
        chunks=tuple(chunks),
        trajectory=Trajectory(),
        segments=[
            segment for event in events if (segment := motion_segment(event, schedule.grid, header.camera))
        ],
        prompts=tuple(sorted(prompts, key=lambda text: text.start)),
        cuts=tuple(cuts),
    )
    reports = tuple(report for event in events if (report := _report_path(event, schedule.grid)))
    return replace(compiled, paths=reports).scaled(scale)


def compile_frames(
    events: Sequence[ScheduledEvent],
    camera: CameraSettings,
    grid: FrameGrid,
    shown: range,
    *,
    frames: int,
    chunks: tuple[FrameChunk, ...],
    trajectory: Trajectory,
    segments: Sequence[Segment],
    prompts: tuple[TimedText, ...],
    cuts: tuple[tuple[int, Path], ...],
) -> CompiledTimeline:
    """Compile the frames `shown`, which `chunks` cover; `trajectory` has passed all frames before them."""
    active: dict[int, tuple[Segment, ...]] = {}
    for segment in segments:
        for frame in range(max(segment.start, shown.start), min(segment.end, shown.stop)):
            active[frame] = (*active.get(frame, ()), segment)
    scenes = {chunk.scene_start for chunk in chunks}
    steps = motion_steps(events, camera, grid, shown).tolist()
    motions = (
        FrameMotion(tuple(step), active.get(frame, ()), frame in scenes)
        for frame, step in zip(shown, steps, strict=True)
    )
    keys = _held_keys(events, shown)
    held = {letters: wasd_held(letters) for letters in set(keys)}
    return CompiledTimeline(
        grid=grid,
        frames=frames,
        chunks=chunks,
        poses=trajectory.poses(motions),
        intrinsics=_frame_intrinsics(events, camera, grid, shown),
        actions=np.array([held[letters] for letters in keys], np.float32).reshape(-1, len(WASD)),
        keys=keys,
        prompts=prompts,
        action_texts=tuple(
            TimedText(e.start, e.event.action, e.end) for e in events if isinstance(e.event, ActionEvent)
        ),
        cuts=cuts,
        markers=tuple(TimedText(e.start, e.event.marker) for e in events if isinstance(e.event, MarkerEvent)),
        named_moves=tuple(
            TimedText(e.start, e.event.label(), e.end) for e in events if isinstance(e.event, NamedMove)
        ),
        first_frame=shown.start,
    )


def _report_path(scheduled: ScheduledEvent, grid: FrameGrid) -> PathReport | None:
    """Return the report of a `poses` event, None for any other event."""
    path = scheduled.camera_path
    if path is None or path.source is None:
        return None
    poses, scale = sample_segment(scheduled, path, grid)
    return PathReport.of(path, scheduled.start, poses[:-1], scale)


def iter_controls(compiled: CompiledTimeline) -> Iterator[Control]:
    """Yield every chunk's Control, in order; their `frames` add up to the video's."""
    previous = None
    for chunk in compiled.chunks:
        yield chunk_control(compiled, chunk, previous)
        previous = chunk


def chunk_control(compiled: CompiledTimeline, chunk: FrameChunk, previous: FrameChunk | None) -> Control:
    """Return one chunk's Control; a prompt, an action or a cut counts from the first chunk not before it."""
    rows = [frame - compiled.first_frame for frame in chunk.latent_frames]
    since = previous.start if previous is not None else -1
    new_prompts = [p for p in compiled.prompts if since < p.start <= chunk.start]
    prompt, action_text = _prompt_with_actions(compiled, chunk, since)
    return Control(
        poses=compiled.poses[rows],
        intrinsics=compiled.intrinsics[rows],
        actions=compiled.actions[rows],
        prompt=prompt,
        action_text=action_text,
        frames=min(chunk.frames, compiled.frames - chunk.start),
        recache=previous is not None and any(p.recache for p in new_prompts),
        cut=compiled.cuts[chunk.cut][1] if chunk.cut is not None else None,
    )


def _prompt_with_actions(compiled: CompiledTimeline, chunk: FrameChunk, since: int) -> tuple[str, str]:
    """Join the prompt in force and the current actions, and return the actions' end of it too.

    Each action lasts one chunk at least.
    """
    actions = [
        action.text
        for action in compiled.action_texts
        if action.start <= chunk.start and (chunk.start < action.end or action.start > since)
    ]
    joined = join_sentences(actions)
    return join_sentences([compiled.prompt_at(chunk.start), joined]), joined


def _frame_intrinsics(
    events: Iterable[ScheduledEvent], camera: CameraSettings, grid: FrameGrid, shown: range
) -> np.ndarray:
    """Return the header's intrinsics, and from each path with its own those, until another comes → [N, 4]."""
    out = np.tile(np.array(camera.pixel_intrinsics), (len(shown), 1))
    for scheduled in sorted(events, key=lambda event: event.start):
        path = scheduled.camera_path
        if path is not None and path.intrinsics is not None and scheduled.start < shown.stop:
            rows = path_rows(scheduled, path, grid)[:-1]
            first = max(scheduled.start, shown.start)
            at = np.minimum(np.arange(first, shown.stop) - scheduled.start, len(rows) - 1)
            out[first - shown.start :] = sample_rows(path.intrinsics, rows[at])
    return out


def _held_keys(events: Iterable[ScheduledEvent], shown: range) -> tuple[str, ...]:
    out = [""] * len(shown)
    for scheduled in events:
        if isinstance(scheduled.event, KeysEvent) and scheduled.event.keys:
            for frame in range(max(scheduled.start, shown.start), min(scheduled.end, shown.stop)):
                at = frame - shown.start
                out[at] = "".join(dict.fromkeys(out[at] + scheduled.event.keys))
    return tuple(out)
