"""Relative poses, the model's input: each seen from the one before it, in units of a scale (model §6, §7)."""

import numpy as np

from lingbot_cli.camera.scale import FIXED_SCALE


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
