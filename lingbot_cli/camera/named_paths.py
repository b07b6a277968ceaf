"""Paths of named camera moves: an orbit, a curve through key poses, and the aim at a point."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lingbot_cli.camera.keys import TURN_DEGREES_PER_FRAME, WALK_UNITS_PER_FRAME
from lingbot_cli.camera.pose import PITCH_LIMIT_DEGREES, CameraPose

_SAMPLES_PER_KEY = 64


def orbit_path(
    start: CameraPose, shares: np.ndarray, *, angle: float, radius: float, up: float
) -> list[CameraPose]:
    """Return the poses of a circle about the point ahead at `radius` units, at the `shares` of its way.

    `angle` is degrees, positive to the right; the camera rises by `up` units and keeps the point in view.
    """
    centre_x, _, centre_z = start.place(radius, 0, 0)
    above = radius * math.tan(math.radians(start.pitch))
    poses = []
    for share in shares.tolist():
        yaw, rise = start.yaw - angle * share, up * share
        turn = math.radians(yaw)
        pitch = math.degrees(math.atan2(above - rise, radius))
        poses.append(
            CameraPose(
                centre_x - radius * math.sin(turn),
                start.y - rise,
                centre_z - radius * math.cos(turn),
                yaw,
                pitch,
                start.roll,
            )
        )
    return poses


def curve_path(start: CameraPose, shares: np.ndarray, keys: Sequence[Sequence[float]]) -> list[CameraPose]:
    """Return the poses of a smooth curve from `start` through `keys`, at the `shares` of its length, turns included.

    Each key is forward, right, up in units and yaw, pitch, roll in degrees, seen from `start`, level.
    """
    knots = np.array([[0.0] * 6, *keys])
    times = np.concatenate([[0.0], np.cumsum(np.maximum(_lengths(knots), 1e-9))])
    dense = np.linspace(0, times[-1], _SAMPLES_PER_KEY * len(keys) + 1)
    passed = np.concatenate([[0.0], np.cumsum(_lengths(_spline(times, knots, dense)))])
    at = np.interp(shares * passed[-1], passed, dense) if passed[-1] > 0 else shares * 0
    return [
        CameraPose(
            *start.place(forward, right, up),
            start.yaw + yaw,
            min(max(start.pitch + pitch, -PITCH_LIMIT_DEGREES), PITCH_LIMIT_DEGREES),
            start.roll + roll,
        )
        for forward, right, up, yaw, pitch, roll in _spline(times, knots, at).tolist()
    ]


def _lengths(points: np.ndarray) -> np.ndarray:
    """Return the lengths between `points` [M, 6] in units; a turn counts as the walk that takes as long."""
    steps = np.diff(points, axis=0)
    steps[:, 3:] *= WALK_UNITS_PER_FRAME / TURN_DEGREES_PER_FRAME
    return np.linalg.norm(steps, axis=1)


def _spline(times: np.ndarray, knots: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Evaluate the Catmull-Rom spline through `knots` [K, D] at their `times` [K] → [M, D]."""
    spans = np.diff(times)
    slopes = np.diff(knots, axis=0) / spans[:, None]
    tangents = np.concatenate([slopes[:1], slopes[-1:]]) if len(slopes) == 1 else np.empty_like(knots)
    if len(slopes) > 1:
        before, after = spans[:-1, None], spans[1:, None]
        tangents[0], tangents[-1] = slopes[0], slopes[-1]
        tangents[1:-1] = (slopes[:-1] * after + slopes[1:] * before) / (before + after)
    low = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(spans) - 1)
    span = spans[low, None]
    u = (at - times[low])[:, None] / span
    a, b = knots[low], knots[low + 1]
    left, right = tangents[low] * span, tangents[low + 1] * span
    return (
        (2 * u**3 - 3 * u**2 + 1) * a
        + (u**3 - 2 * u**2 + u) * left
        + (3 * u**2 - 2 * u**3) * b
        + (u**3 - u**2) * right
    )


@dataclass(frozen=True)
class Aim:
    """A point that a camera turns toward: its place x, y, z, and the view's offset from it at the start."""

    point: tuple[float, float, float]
    yaw: float
    pitch: float

    @classmethod
    def begin(cls, start: CameraPose, forward: float, right: float, up: float) -> "Aim":
        """Return the aim at a point seen from `start`, level, in units."""
        point = start.place(forward, right, up)
        yaw, pitch = _direction(start, point)
        return cls(point, (start.yaw - yaw + 180) % 360 - 180, start.pitch - pitch)

    def turned(self, pose: CameraPose, share: float) -> CameraPose:
        """Return a pose with its view turned: the offset that was at the start is gone at `share` 1."""
        yaw, pitch = _direction(pose, self.point)
        return replace(pose, yaw=yaw + self.yaw * (1 - share), pitch=pitch + self.pitch * (1 - share))


def _direction(pose: CameraPose, point: tuple[float, float, float]) -> tuple[float, float]:
    """Return the yaw and the pitch, in degrees, from a pose's place to a point; the pose's own where they meet."""
    x, y, z = point[0] - pose.x, point[1] - pose.y, point[2] - pose.z
    level = math.hypot(x, z)
    if level < 1e-9:
        return pose.yaw, pose.pitch
    pitch = math.degrees(math.atan2(-y, level))
    return math.degrees(math.atan2(x, z)), min(max(pitch, -PITCH_LIMIT_DEGREES), PITCH_LIMIT_DEGREES)
