"""Compilation of a schedule: camera, prompts and cuts of every video frame, and a Control per chunk."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from lingbot_cli.camera.interpolate import sample_path, sample_rows
from lingbot_cli.camera.keys import AXIS_COUNT, PITCH, WASD, YAW, key_motion, wasd_held
from lingbot_cli.camera.named_paths import curve_path, orbit_path
from lingbot_cli.camera.pose import relative_poses
from lingbot_cli.camera.scale import FIXED, FIXED_SCALE, ScaleRule, StepSizes, latent_steps
from lingbot_cli.camera.trajectory import (
    AimSegment,
    FrameMotion,
    MoveSegment,
    PathSegment,
    Segment,
    Trajectory,
)
from lingbot_cli.control import Control
from lingbot_cli.prompt_cleaning import join_sentences
from lingbot_cli.timeline.chunks import FrameChunk, FrameGrid, split_into_chunks
from lingbot_cli.timeline.input_files import CameraPath, PathReport
from lingbot_cli.timeline.named_moves import (
    AxisMove,
    FollowEvent,
    LookAtEvent,
    NamedMove,
    OrbitEvent,
)
from lingbot_cli.timeline.schedule import ScheduledEvent, TimelineSchedule
from lingbot_cli.timeline.schema import (
    ActionEvent,
    CameraSettings,
    CutEvent,
    KeysEvent,
    MarkerEvent,
    MoveEvent,
    PosesEvent,
    PromptEvent,
    SpannedEvent,
    TurnEvent,
)

# Share of the way done at the share u of the span.
EASING_CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda u: u,
    "in": lambda u: u * u,
    "out": lambda u: u * (2 - u),
    "in-out": lambda u: u * u * (3 - 2 * u),
}


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
    chunks = split_into_chunks(schedule.frames, schedule.grid.chunk, [start for start, _ in cuts])
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
    steps = _motion_steps(events, camera, grid, shown).tolist()
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


def motion_segment(scheduled: ScheduledEvent, grid: FrameGrid, camera: CameraSettings) -> Segment | None:
    """Return the segment of an event with a path of its own, None for any other event."""
    event, frames = scheduled.event, scheduled.end - scheduled.start
    unit = camera.speed * grid.fps  # a second of walking
    if not isinstance(event, NamedMove) or isinstance(event, AxisMove):
        return _path_segment(scheduled, grid)
    shares = EASING_CURVES[event.ease](np.arange(frames + 1) / max(1, frames))
    if isinstance(event, LookAtEvent):
        point = event.look_at
        return AimSegment(
            scheduled.start,
            (point.forward * unit, point.right * unit, point.up * unit),
            tuple(shares.tolist()),
        )
    if isinstance(event, OrbitEvent):
        orbit = event.orbit
        return MoveSegment(
            scheduled.start,
            frames,
            partial(
                orbit_path,
                shares=shares,
                angle=orbit.angle,
                radius=orbit.radius * unit,
                up=orbit.up * unit,
            ),
        )
    if isinstance(event, FollowEvent):
        keys = [
            (key.forward * unit, key.right * unit, key.up * unit, key.yaw, key.pitch, key.roll)
            for key in event.follow
        ]
        return MoveSegment(scheduled.start, frames, partial(curve_path, shares=shares, keys=keys))
    return None


def _path_segment(scheduled: ScheduledEvent, grid: FrameGrid) -> PathSegment | None:
    """Return the path of a `poses` event in walking units, a row a frame and one for the frame after its last.

    None for any other event.
    """
    if scheduled.camera_path is None:
        return None
    poses, scale = _sample_segment(scheduled, scheduled.camera_path, grid)
    if scale != FIXED_SCALE:
        poses[:, :3, 3] *= FIXED_SCALE / scale
    return PathSegment(scheduled.start, poses)


def _sample_segment(scheduled: ScheduledEvent, path: CameraPath, grid: FrameGrid) -> tuple[np.ndarray, float]:
    """Return a path's poses at the frames of its span and at the one after, in the file's units, and its scale."""
    poses = sample_path(path.poses, _path_rows(scheduled, path, grid), beyond=True)
    return poses, path.scale.scale(latent_steps(poses[:-1]))


def _report_path(scheduled: ScheduledEvent, grid: FrameGrid) -> PathReport | None:
    """Return the report of a `poses` event, None for any other event."""
    path = scheduled.camera_path
    if path is None or path.source is None:
        return None
    poses, scale = _sample_segment(scheduled, path, grid)
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


def _motion_steps(
    events: Iterable[ScheduledEvent], camera: CameraSettings, grid: FrameGrid, shown: range
) -> np.ndarray:
    """Sum the motion of keys, moves and turns per shown frame → [N, 7] (axes of camera.keys)."""
    out = np.zeros((len(shown), AXIS_COUNT))
    for scheduled in events:
        span = scheduled.end - scheduled.start
        first, last = max(scheduled.start, shown.start), min(scheduled.end, shown.stop)
        if last <= first:
            continue
        event = scheduled.event
        if isinstance(event, KeysEvent):
            step = np.array(key_motion(event.keys, camera.speed, camera.turn_rate))
        elif isinstance(event, AxisMove):
            step = np.array(event.steps(camera.speed * grid.fps)) / span
        elif isinstance(event, MoveEvent):
            distance = np.array([event.move.forward, event.move.right, event.move.up])
            step = np.concatenate([distance * (camera.speed * grid.fps / span), np.zeros(AXIS_COUNT - 3)])
        elif isinstance(event, TurnEvent):
            step = np.zeros(AXIS_COUNT)
            step[[YAW, PITCH, PITCH + 1]] = event.turn.yaw, event.turn.pitch, event.turn.roll
            step /= span
        else:
            continue
        speeds = _easing_speeds(event.ease, span, range(first - scheduled.start, last - scheduled.start))
        out[first - shown.start : last - shown.start] += speeds[:, None] * step
    return out


def _easing_speeds(ease: str, frames: int, part: range) -> np.ndarray:
    """Return the speed of a part of a span's `frames`, 1 on average; linear is exactly 1."""
    if ease == "linear":
        return np.ones(len(part))
    return np.diff(EASING_CURVES[ease](np.arange(part.start, part.stop + 1) / frames)) * frames


def _path_rows(scheduled: ScheduledEvent, path: CameraPath, grid: FrameGrid) -> np.ndarray:
    """Return the row of its file, fractional between two, that a path has at each frame of its span.

    And at the frame after its last, where the next event begins: the path continues at the speed of its end.
    """
    event, frames, last = scheduled.event, scheduled.end - scheduled.start, len(path.poses) - 1
    stretched = isinstance(event, SpannedEvent) and (event.span is not None or event.until is not None)
    # Multiplied before it is divided: a row a frame stays exactly that row.
    if path.fps is not None and not stretched:
        rows = np.arange(frames + 1) * path.fps / grid.fps
    else:
        rows = np.arange(frames) * last / max(1, frames - 1)
        rows = np.append(rows, 2 * rows[-1] - rows[-2] if frames > 1 else last)
    ease = event.ease if isinstance(event, PosesEvent) else "linear"
    if ease == "linear" or not last:
        return rows
    eased = EASING_CURVES[ease](np.minimum(rows[:-1] / last, 1)) * last
    return np.append(eased, 2 * eased[-1] - eased[-2] if frames > 1 else last)


def _frame_intrinsics(
    events: Iterable[ScheduledEvent], camera: CameraSettings, grid: FrameGrid, shown: range
) -> np.ndarray:
    """Return the header's intrinsics, and from each path with its own those, until another comes → [N, 4]."""
    out = np.tile(np.array(camera.pixel_intrinsics), (len(shown), 1))
    for scheduled in sorted(events, key=lambda event: event.start):
        path = scheduled.camera_path
        if path is not None and path.intrinsics is not None and scheduled.start < shown.stop:
            rows = _path_rows(scheduled, path, grid)[:-1]
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
