"""Motion of a timeline's events: steps of keys, moves and turns, eased spans, and segments of their own."""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from lingbot_cli.camera.interpolate import sample_path
from lingbot_cli.camera.keys import AXIS_COUNT, PITCH, YAW, key_motion
from lingbot_cli.camera.named_paths import curve_path, orbit_path
from lingbot_cli.camera.scale import FIXED_SCALE, latent_steps
from lingbot_cli.camera.trajectory import AimSegment, MoveSegment, PathSegment, Segment
from lingbot_cli.timeline.chunks import FrameGrid
from lingbot_cli.timeline.input_files import CameraPath
from lingbot_cli.timeline.named_moves import AxisMove, FollowEvent, LookAtEvent, NamedMove, OrbitEvent
from lingbot_cli.timeline.schedule import ScheduledEvent
from lingbot_cli.timeline.schema import (
    CameraSettings,
    KeysEvent,
    MoveEvent,
    PosesEvent,
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
    poses, scale = sample_segment(scheduled, scheduled.camera_path, grid)
    if scale != FIXED_SCALE:
        poses[:, :3, 3] *= FIXED_SCALE / scale
    return PathSegment(scheduled.start, poses)


def sample_segment(scheduled: ScheduledEvent, path: CameraPath, grid: FrameGrid) -> tuple[np.ndarray, float]:
    """Return a path's poses at the frames of its span and at the one after, in the file's units, and its scale."""
    poses = sample_path(path.poses, path_rows(scheduled, path, grid), beyond=True)
    return poses, path.scale.scale(latent_steps(poses[:-1]))


def motion_steps(
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


def path_rows(scheduled: ScheduledEvent, path: CameraPath, grid: FrameGrid) -> np.ndarray:
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
