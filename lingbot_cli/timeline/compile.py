"""Events become a track: where the camera is at every video frame, and what is said when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from lingbot_cli.camera.interpolate import sample
from lingbot_cli.camera.keys import AXES, PITCH, WASD, YAW, held, motion
from lingbot_cli.camera.pose import Stance, poses_of
from lingbot_cli.camera.relative_pose import FIXED_SCALE, clip_scale
from lingbot_cli.camera.trajectory import Moment, Ride, fly
from lingbot_cli.timeline.chunks import Chunk, chunks_of
from lingbot_cli.timeline.ease import CURVES, pace
from lingbot_cli.timeline.schedule import Schedule, Slot
from lingbot_cli.timeline.schema import Action, Camera, Cut, Keys, Marker, Move, Poses, Prompt, Turn
from lingbot_cli.timeline.times import Grid


@dataclass(frozen=True)
class Text:
    """Something said from video frame `start`; an action until before `end`."""

    start: int
    text: str
    end: int = 0
    recache: bool = False


@dataclass(frozen=True, eq=False)
class Track:
    """A film per video frame; N is the end of its last chunk, so the surplus has poses too.

    Of a live film only the frames from `first` on are kept, one chunk's; else `first` is 0.

    `poses` [N, 4, 4] float64 camera-to-world; `intrinsics` [N, 4] float64 for 832×480; `actions` [N, 4]
    float32, w a s d held; `keys`: the letters held, one text a frame. `frames` is the film's exact length.
    `scale` is what translations are divided by.
    """

    grid: Grid
    frames: int
    chunks: tuple[Chunk, ...]
    poses: np.ndarray
    intrinsics: np.ndarray
    actions: np.ndarray
    keys: tuple[str, ...]
    prompts: tuple[Text, ...]
    said: tuple[Text, ...]
    cuts: tuple[tuple[int, Path], ...]
    markers: tuple[Text, ...]
    scale: float = FIXED_SCALE
    first: int = 0

    def prompt_at(self, frame: int) -> str:
        """The prompt that stands at a chunk's first frame, without actions."""
        return next((p.text for p in reversed(self.prompts) if p.start <= frame), "")


def compile_track(schedule: Schedule, *, prompt: str | None = None, scale: str = "fixed") -> Track:
    """The whole film of a schedule; `prompt` wins over the header's.

    `scale` is "fixed" (one unit = one latent frame of standard walking) or "clip" (the published rule,
    which looks at the whole film; model §7).
    """
    slots, header = schedule.slots, schedule.header
    cuts = [(s.start, s.image) for s in slots if isinstance(s.event, Cut) and s.image is not None]
    cuts.sort(key=lambda cut: cut[0])
    chunks = chunks_of(schedule.frames, schedule.grid.chunk, [start for start, _ in cuts])
    shown = range(chunks[-1].end)
    opening = prompt if prompt is not None else header.prompt
    texts = [Text(0, opening)] if opening else []
    texts += [
        Text(s.start, s.event.prompt, recache=s.event.recache) for s in slots if isinstance(s.event, Prompt)
    ]
    keys = held_keys(slots, shown)
    track = Track(
        grid=schedule.grid,
        frames=schedule.frames,
        chunks=tuple(chunks),
        poses=_poses(slots, header.camera, schedule.grid, shown, {c.scene for c in chunks}),
        intrinsics=lenses(slots, header.camera, shown),
        actions=wasd(keys),
        keys=keys,
        prompts=tuple(sorted(texts, key=lambda t: t.start)),
        said=tuple(Text(s.start, s.event.action, s.end) for s in slots if isinstance(s.event, Action)),
        cuts=tuple(cuts),
        markers=tuple(Text(s.start, s.event.marker) for s in slots if isinstance(s.event, Marker)),
    )
    return replace(track, scale=clip(track)) if scale == "clip" else track


def clip(track: Track) -> float:
    """The published scale of a whole film: the largest step between latent frames of any scene."""
    scenes = groupby(track.chunks, lambda c: c.scene)
    latents = [[f for chunk in chunks for f in chunk.latents] for _, chunks in scenes]
    return max(clip_scale(track.poses[rows]) for rows in latents)


def steps(slots: Iterable[Slot], camera: Camera, grid: Grid, shown: range) -> np.ndarray:
    """All motion of keys, moves and turns added up, per shown frame → [N, 7] (axes of camera.keys)."""
    out = np.zeros((len(shown), AXES))
    for slot in slots:
        whole = slot.end - slot.start
        first, last = max(slot.start, shown.start), min(slot.end, shown.stop)
        if last <= first:
            continue
        event = slot.event
        if isinstance(event, Keys):
            step = np.array(motion(event.keys, camera.speed, camera.turn_rate))
        elif isinstance(event, Move):
            away = np.array([event.move.forward, event.move.right, event.move.up])
            step = np.concatenate([away * (camera.speed * grid.fps / whole), np.zeros(AXES - 3)])
        elif isinstance(event, Turn):
            step = np.zeros(AXES)
            step[[YAW, PITCH, PITCH + 1]] = event.turn.yaw, event.turn.pitch, event.turn.roll
            step /= whole
        else:
            continue
        paces = pace(event.ease, whole, range(first - slot.start, last - slot.start))
        out[first - shown.start : last - shown.start] += paces[:, None] * step
    return out


def ride_of(slot: Slot) -> Ride | None:
    """The path of a `poses` event, a row a frame of its span; None for any other event."""
    if not isinstance(slot.event, Poses) or slot.path is None:
        return None
    return Ride(slot.start, sample(slot.path.poses, _rows(slot, len(slot.path.poses))))


def _poses(slots: tuple[Slot, ...], camera: Camera, grid: Grid, shown: range, scenes: set[int]) -> np.ndarray:
    under_way: list[tuple[Ride, ...]] = [()] * len(shown)
    for ride in filter(None, map(ride_of, slots)):
        for frame in range(ride.start, min(len(shown), ride.start + len(ride.poses))):
            under_way[frame] += (ride,)
    moments = (
        Moment(tuple(step), under_way[frame], frame in scenes)
        for frame, step in enumerate(steps(slots, camera, grid, shown).tolist())
    )
    return flown_poses(list(fly(moments)))


def flown_poses(flown: Sequence[Stance | np.ndarray]) -> np.ndarray:
    """What a flight went through, as camera-to-world poses [N, 4, 4] float64."""
    out = poses_of([at if isinstance(at, Stance) else Stance() for at in flown])
    for frame, at in enumerate(flown):
        if not isinstance(at, Stance):
            out[frame] = at
    return out


def _rows(slot: Slot, count: int) -> np.ndarray:
    """Which row of its file, perhaps between two, a path has at each frame of its span."""
    # Multiplied before it is divided: a row a frame stays exactly that row.
    frames = slot.end - slot.start
    linear = np.arange(frames) * (count - 1) / max(1, frames - 1)
    ease = slot.event.ease  # type: ignore[attr-defined]  # a path eases
    return linear if ease == "linear" else CURVES[ease](linear / max(1, count - 1)) * (count - 1)


def lenses(slots: Iterable[Slot], camera: Camera, shown: range) -> np.ndarray:
    """The header's lens, and a path's own while it lasts and after, until another comes → [N, 4] float64."""
    out = np.tile(np.array(camera.lens), (len(shown), 1))
    for slot in sorted(slots, key=lambda s: s.start):
        if slot.path is not None and slot.path.intrinsics is not None and slot.start < shown.stop:
            rows = np.round(_rows(slot, len(slot.path.poses))).astype(int)
            first = max(slot.start, shown.start)
            at = np.minimum(np.arange(first, shown.stop) - slot.start, len(rows) - 1)
            out[first - shown.start :] = slot.path.intrinsics[rows[at]]
    return out


def held_keys(slots: Iterable[Slot], shown: range) -> tuple[str, ...]:
    """The letters held during each shown frame, those of all events together."""
    out = [""] * len(shown)
    for slot in slots:
        if isinstance(slot.event, Keys) and slot.event.keys:
            for frame in range(max(slot.start, shown.start), min(slot.end, shown.stop)):
                at = frame - shown.start
                out[at] = "".join(dict.fromkeys(out[at] + slot.event.keys))
    return tuple(out)


def wasd(keys: Sequence[str]) -> np.ndarray:
    """Whether w, a, s, d are held during each frame → [N, 4] float32."""
    states = {letters: held(letters) for letters in set(keys)}
    return np.array([states[letters] for letters in keys], np.float32).reshape(-1, len(WASD))
