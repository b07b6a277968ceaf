"""Events become a track: where the camera is at every video frame, and what is said when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from lingbot_cli.camera.interpolate import sample_path
from lingbot_cli.camera.keys import AXIS_COUNT, PITCH, WASD, YAW, key_motion, wasd_held
from lingbot_cli.camera.pose import CameraPose, pose_matrices
from lingbot_cli.camera.relative_pose import FIXED_SCALE, clip_scale
from lingbot_cli.camera.trajectory import FrameMotion, PathSegment, integrate
from lingbot_cli.timeline.chunks import FrameChunk, split_into_chunks
from lingbot_cli.timeline.ease import EASING_CURVES, easing_speeds
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
    TurnEvent,
)
from lingbot_cli.timeline.times import FrameGrid


@dataclass(frozen=True)
class TimedText:
    """Something said from video frame `start`; an action until before `end`."""

    start: int
    text: str
    end: int = 0
    recache: bool = False


@dataclass(frozen=True, eq=False)
class CompiledTimeline:
    """A film per video frame; N is the end of its last chunk, so the surplus has poses too.

    Of a live film only the frames from `first` on are kept, one chunk's; else `first` is 0.

    `poses` [N, 4, 4] float64 camera-to-world; `intrinsics` [N, 4] float64 for 832×480; `actions` [N, 4]
    float32, w a s d held; `keys`: the letters held, one text a frame. `frames` is the film's exact length.
    `scale` is what translations are divided by.
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
    scale: float = FIXED_SCALE
    first_frame: int = 0

    def prompt_at(self, frame: int) -> str:
        """The prompt that stands at a chunk's first frame, without actions."""
        return next((p.text for p in reversed(self.prompts) if p.start <= frame), "")


def compile_timeline(
    schedule: TimelineSchedule, *, prompt: str | None = None, scale: str = "fixed"
) -> CompiledTimeline:
    """The whole film of a schedule; `prompt` wins over the header's.

    `scale` is "fixed" (one unit = one latent frame of standard walking) or "clip" (the published rule,
    which looks at the whole film; model §7).
    """
    slots, header = schedule.events, schedule.header
    cuts = [(s.start, s.image) for s in slots if isinstance(s.event, CutEvent) and s.image is not None]
    cuts.sort(key=lambda cut: cut[0])
    chunks = split_into_chunks(schedule.frames, schedule.grid.chunk, [start for start, _ in cuts])
    shown = range(chunks[-1].end)
    opening = prompt if prompt is not None else header.prompt
    texts = [TimedText(0, opening)] if opening else []
    texts += [
        TimedText(s.start, s.event.prompt, recache=s.event.recache)
        for s in slots
        if isinstance(s.event, PromptEvent)
    ]
    keys = frame_keys(slots, shown)
    track = CompiledTimeline(
        grid=schedule.grid,
        frames=schedule.frames,
        chunks=tuple(chunks),
        poses=_compile_poses(slots, header.camera, schedule.grid, shown, {c.scene_start for c in chunks}),
        intrinsics=frame_intrinsics(slots, header.camera, shown),
        actions=wasd_states(keys),
        keys=keys,
        prompts=tuple(sorted(texts, key=lambda t: t.start)),
        action_texts=tuple(
            TimedText(s.start, s.event.action, s.end) for s in slots if isinstance(s.event, ActionEvent)
        ),
        cuts=tuple(cuts),
        markers=tuple(TimedText(s.start, s.event.marker) for s in slots if isinstance(s.event, MarkerEvent)),
    )
    return replace(track, scale=published_scale(track)) if scale == "clip" else track


def published_scale(track: CompiledTimeline) -> float:
    """The published scale of a whole film: the largest step between latent frames of any scene."""
    scenes = groupby(track.chunks, lambda c: c.scene_start)
    latents = [[f for chunk in chunks for f in chunk.latent_frames] for _, chunks in scenes]
    return max(clip_scale(track.poses[rows]) for rows in latents)


def motion_steps(
    slots: Iterable[ScheduledEvent], camera: CameraSettings, grid: FrameGrid, shown: range
) -> np.ndarray:
    """All motion of keys, moves and turns added up, per shown frame → [N, 7] (axes of camera.keys)."""
    out = np.zeros((len(shown), AXIS_COUNT))
    for slot in slots:
        whole = slot.end - slot.start
        first, last = max(slot.start, shown.start), min(slot.end, shown.stop)
        if last <= first:
            continue
        event = slot.event
        if isinstance(event, KeysEvent):
            step = np.array(key_motion(event.keys, camera.speed, camera.turn_rate))
        elif isinstance(event, MoveEvent):
            away = np.array([event.move.forward, event.move.right, event.move.up])
            step = np.concatenate([away * (camera.speed * grid.fps / whole), np.zeros(AXIS_COUNT - 3)])
        elif isinstance(event, TurnEvent):
            step = np.zeros(AXIS_COUNT)
            step[[YAW, PITCH, PITCH + 1]] = event.turn.yaw, event.turn.pitch, event.turn.roll
            step /= whole
        else:
            continue
        paces = easing_speeds(event.ease, whole, range(first - slot.start, last - slot.start))
        out[first - shown.start : last - shown.start] += paces[:, None] * step
    return out


def path_segment(slot: ScheduledEvent) -> PathSegment | None:
    """The path of a `poses` event, a row a frame of its span; None for any other event."""
    if not isinstance(slot.event, PosesEvent) or slot.camera_path is None:
        return None
    return PathSegment(
        slot.start, sample_path(slot.camera_path.poses, _path_rows(slot, len(slot.camera_path.poses)))
    )


def _compile_poses(
    slots: tuple[ScheduledEvent, ...], camera: CameraSettings, grid: FrameGrid, shown: range, scenes: set[int]
) -> np.ndarray:
    under_way: list[tuple[PathSegment, ...]] = [()] * len(shown)
    for ride in filter(None, map(path_segment, slots)):
        for frame in range(ride.start, min(len(shown), ride.start + len(ride.poses))):
            under_way[frame] += (ride,)
    moments = (
        FrameMotion(tuple(step), under_way[frame], frame in scenes)
        for frame, step in enumerate(motion_steps(slots, camera, grid, shown).tolist())
    )
    return stack_poses(list(integrate(moments)))


def stack_poses(flown: Sequence[CameraPose | np.ndarray]) -> np.ndarray:
    """What a flight went through, as camera-to-world poses [N, 4, 4] float64."""
    out = pose_matrices([at if isinstance(at, CameraPose) else CameraPose() for at in flown])
    for frame, at in enumerate(flown):
        if not isinstance(at, CameraPose):
            out[frame] = at
    return out


def _path_rows(slot: ScheduledEvent, count: int) -> np.ndarray:
    """Which row of its file, perhaps between two, a path has at each frame of its span."""
    # Multiplied before it is divided: a row a frame stays exactly that row.
    frames = slot.end - slot.start
    linear = np.arange(frames) * (count - 1) / max(1, frames - 1)
    ease = slot.event.ease  # type: ignore[attr-defined]  # a path eases
    return linear if ease == "linear" else EASING_CURVES[ease](linear / max(1, count - 1)) * (count - 1)


def frame_intrinsics(slots: Iterable[ScheduledEvent], camera: CameraSettings, shown: range) -> np.ndarray:
    """The header's lens, and a path's own while it lasts and after, until another comes → [N, 4] float64."""
    out = np.tile(np.array(camera.lens), (len(shown), 1))
    for slot in sorted(slots, key=lambda s: s.start):
        if (
            slot.camera_path is not None
            and slot.camera_path.intrinsics is not None
            and slot.start < shown.stop
        ):
            rows = np.round(_path_rows(slot, len(slot.camera_path.poses))).astype(int)
            first = max(slot.start, shown.start)
            at = np.minimum(np.arange(first, shown.stop) - slot.start, len(rows) - 1)
            out[first - shown.start :] = slot.camera_path.intrinsics[rows[at]]
    return out


def frame_keys(slots: Iterable[ScheduledEvent], shown: range) -> tuple[str, ...]:
    """The letters held during each shown frame, those of all events together."""
    out = [""] * len(shown)
    for slot in slots:
        if isinstance(slot.event, KeysEvent) and slot.event.keys:
            for frame in range(max(slot.start, shown.start), min(slot.end, shown.stop)):
                at = frame - shown.start
                out[at] = "".join(dict.fromkeys(out[at] + slot.event.keys))
    return tuple(out)


def wasd_states(keys: Sequence[str]) -> np.ndarray:
    """Whether w, a, s, d are held during each frame → [N, 4] float32."""
    states = {letters: wasd_held(letters) for letters in set(keys)}
    return np.array([states[letters] for letters in keys], np.float32).reshape(-1, len(WASD))
