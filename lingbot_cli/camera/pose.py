"""Camera pose, steps of motion added up into camera-to-world poses, and relative poses (model §6, §7)."""

import math
from dataclasses import dataclass, replace

import numpy as np

from lingbot_cli.camera.scale import FIXED_SCALE

PITCH_LIMIT_DEGREES = 85.0
# The published code divides directions by their length plus this.
_EPSILON = 1e-6


@dataclass(frozen=True)
class CameraPose:
    """Position x, y, z in units (y down), and yaw, pitch, roll in degrees.

    Its rotation is R_yaw · R_pitch · R_roll: turns of the same kind add up in any order.
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    @classmethod
    def from_matrix(cls, pose: np.ndarray) -> "CameraPose":
        """Return the pose of a camera-to-world matrix [4, 4]; straight up or down it has no roll."""
        r = pose[:3, :3]
        level = math.hypot(r[0, 2], r[2, 2])
        pitch = math.degrees(math.atan2(-r[1, 2], level))
        if level > 1e-9:
            yaw, roll = math.atan2(r[0, 2], r[2, 2]), math.atan2(r[1, 0], r[1, 1])
        else:
            yaw, roll = math.atan2(-r[2, 0], r[0, 0]), 0.0
        x, y, z = map(float, pose[:3, 3])
        return cls(x, y, z, math.degrees(yaw), pitch, math.degrees(roll))

    def matrix(self) -> np.ndarray:
        """Return the camera-to-world matrix [4, 4] float64."""
        return pose_matrices([self])[0]

    def moved(self, step: tuple[float, ...]) -> "CameraPose":
        """Return the pose after one step [7]: turn first, then move along the new heading (axes of camera.keys)."""
        forward, right, up, yaw, look, pitch, roll = step
        yaw, pitch, roll = self.yaw + yaw, self._limited_pitch(look, pitch), self.roll + roll
        if not (forward or right or up):
            return replace(self, yaw=yaw, pitch=pitch, roll=roll)
        # The view's level part is cos(pitch) long; looking straight up, walking still goes ahead.
        level = max(math.cos(math.radians(pitch)), _EPSILON)
        forward, right = forward * level / (level + _EPSILON), right / (1 + _EPSILON)
        return CameraPose(*self.place(forward, right, up, yaw), yaw, pitch, roll)

    def place(
        self, forward: float, right: float, up: float, yaw: float | None = None
    ) -> tuple[float, float, float]:
        """Return the x, y, z of a point by its distances along a heading `yaw`, the pose's own without one."""
        turn = math.radians(self.yaw if yaw is None else yaw)
        sin, cos = math.sin(turn), math.cos(turn)
        return self.x + forward * sin + right * cos, self.y - up, self.z + forward * cos - right * sin

    def _limited_pitch(self, look: float, pitch: float) -> float:
        """Return the new pitch: a look past the limit is dropped, a pitch stops at it; both may come back inside."""
        at = self.pitch
        if abs(at + look) <= max(PITCH_LIMIT_DEGREES, abs(at)):
            at += look
        limit = max(PITCH_LIMIT_DEGREES, abs(at))
        return min(max(at + pitch, -limit), limit)


def pose_matrices(poses: list[CameraPose]) -> np.ndarray:
    """Return poses as camera-to-world matrices [N, 4, 4] float64."""
    values = np.array([(s.x, s.y, s.z, s.yaw, s.pitch, s.roll) for s in poses]).reshape(-1, 6)
    (sy, sp, sr), (cy, cp, cr) = (f(np.radians(values[:, 3:].T)) for f in (np.sin, np.cos))
    out = np.zeros((len(values), 4, 4))
    out[:, 0, :3] = np.stack([cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp], -1)
    out[:, 1, :3] = np.stack([cp * sr, cp * cr, -sp], -1)
    out[:, 2, :3] = np.stack([cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp], -1)
    out[:, :3, 3] = values[:, :3]
    out[:, 3, 3] = 1
    return out


def invert_poses(poses: np.ndarray) -> np.ndarray:
    """Invert rigid poses [..., 4, 4]."""
    poses = np.asarray(poses, np.float64)
    turned = np.swapaxes(poses[..., :3, :3], -1, -2)
    out = np.zeros_like(poses)
    out[..., :3, :3] = turned
    out[..., :3, 3] = -(turned @ poses[..., :3, 3:])[..., 0]
    out[..., 3, 3] = 1
    return out


def relative_poses(
    poses: np.ndarray, previous: np.ndarray | None = None, scale: float = FIXED_SCALE
) -> np.ndarray:
    """Return each of `poses` [c, 4, 4] seen from the one before it, translations divided by `scale`.

    `previous` [4, 4] is the pose before the first; without it the first becomes the identity. A path given
    chunk by chunk, each with the last pose before it, gives the same result as at once.
    """
    poses = np.asarray(poses, np.float64)
    before = np.concatenate([(poses[0] if previous is None else previous)[None], poses[:-1]])
    steps = invert_poses(before) @ poses
    if previous is None:
        steps[0] = np.eye(4)
    steps[:, :3, 3] /= scale
    return steps


def clip_scale(poses: np.ndarray) -> float:
    """Return the published scale: the largest step of a whole clip [F, 4, 4], or 1 if it stands still."""
    steps = relative_poses(poses, scale=1.0)[:, :3, 3]
    largest = float(np.linalg.norm(steps, axis=-1).max())
    return largest if largest > 0 else 1.0
