"""Estimate of the camera's motion over about a second, from frames alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lingbot_cli.diagnostics.bundle import Bundle, BundleState
from lingbot_cli.diagnostics.point_tracks import MIN_POINTS, Tracks, retrack, track_points

STEPS = 4
"""Key frames of a window, after its first."""
_TRIAL_ITERATIONS, _ITERATIONS, _ROUNDS, _TRIALS = 10, 60, 2, 3
_LOST_LOSS = 2.8  # of a point that is not found again: as much as of one that is found a pixel away
_SURE = 0.2  # relative error of a depth that is known
_CLEAR, _CLEAR_LOSS = 1.1, 0.02  # a worse motion has a loss above this share of the best one's, and this more
# Loss of a camera that only turns, as a multiple of the best motion's: up to the first there is no travel, up to the
# second and the loss it is unclear. The noise makes the multiple of a small loss mean something.
_STILL, _UNCLEAR, _UNCLEAR_LOSS, _NOISE_LOSS = 1.25, 2.6, 1.6, 0.2
DIRECTIONS = np.array([d for d in np.ndindex(3, 3, 3) if abs(np.subtract(d, 1)).sum() in (1, 3)], float) - 1


@dataclass(frozen=True, eq=False)
class CameraMotion:
    """Camera-to-world poses [K, 4, 4] of a window's key frames, the first the identity.

    The largest distance from the first is 1, as the unit is unknown, and 0 without clear travel: `travels` is False
    where the frames show none, None where they do not show whether there is any or where it leads.
    `points` [N, 3] are in the first camera's axes, with a known depth. `doubt` and `turn_doubt` are the angles in
    degrees to other directions of travel and other turns that explain the frames as well.
    """

    poses: np.ndarray
    points: np.ndarray
    travels: bool | None = True
    doubt: float = 0.0
    turn_doubt: float = 0.0

    @property
    def travel(self) -> np.ndarray:
        """The direction of travel from the first to the last key frame, [3] in the first camera's axes."""
        return self.poses[-1, :3, 3]


def estimate_motion(frames: Sequence[np.ndarray], lenses: np.ndarray) -> CameraMotion | None:
    """Return the motion over grey frames uint8 [H, W], None where too few points can be tracked.

    `lenses` [F, 4]: fx, fy, cx, cy in pixels. Several directions of travel are tried; the best three are refined
    with points that are tracked again where each expects them, and the one that explains most of them wins.
    """
    keys = [round(i * (len(frames) - 1) / STEPS) for i in range(STEPS + 1)]
    tracks = track_points(frames, keys, lenses)
    if (tracks.seen().sum(1) < MIN_POINTS).any():
        return None
    shown, optics = [frames[key] for key in keys], lenses[keys]
    bundle = Bundle(tracks.pixels, tracks.weights, optics)
    turning = bundle.turning()
    starts = [bundle.travelling(turning, direction) for direction in DIRECTIONS]
    trials = [bundle.refine(start, _TRIAL_ITERATIONS) for start in starts]
    best = [state for state, _ in sorted(trials, key=lambda trial: trial[1])[:_TRIALS]]
    total = bundle.observations
    found = sorted(
        (_settled(shown, tracks, optics, bundle, state, total) for state in best), key=lambda f: f[0]
    )
    loss, state, final = found[0]
    limit = _CLEAR * loss + _CLEAR_LOSS
    still = _settled(shown, tracks, optics, bundle, turning, total, turns_only=True)
    ratio = (still[0] + _NOISE_LOSS) / (loss + _NOISE_LOSS)
    if ratio <= _STILL or (ratio <= _UNCLEAR and still[0] <= _UNCLEAR_LOSS):
        travels = False if ratio <= _STILL else None
        doubt = 0.0 if travels is False else turn_angle(still[1].rotations[-1].T @ state.rotations[-1])
        return CameraMotion(_poses(still[1], 1.0), np.zeros((0, 3)), travels, turn_doubt=doubt)
    alike = [other for worse, other, _ in found if worse <= limit]
    doubt = max(angle(state.centres[-1], other.centres[-1]) for other in alike)
    turn_doubt = max(turn_angle(state.rotations[-1].T @ other.rotations[-1]) for other in alike)
    unit = float(np.linalg.norm(state.centres, axis=1).max())
    points, errors = final.points(state)
    return CameraMotion(_poses(state, unit), points[errors < _SURE] / unit, True, doubt, turn_doubt)


def _settled(
    frames: Sequence[np.ndarray],
    tracks: Tracks,
    lenses: np.ndarray,
    bundle: Bundle,
    state: BundleState,
    total: int,
    *,
    turns_only: bool = False,
) -> tuple[float, BundleState, Bundle]:
    """Return the loss, state and observations of a motion after its points were tracked again."""
    anchors, loss = bundle.anchors, 0.0
    for _ in range(_ROUNDS):
        again = retrack(frames, tracks, bundle.predicted_pixels(state), anchors)
        bundle = Bundle(again.pixels, again.weights, lenses)
        if bundle.observations < MIN_POINTS:
            return _LOST_LOSS, state, bundle
        state, loss = bundle.refine(state, _ITERATIONS, turns_only=turns_only)
    share = bundle.observations / total
    return loss * share + _LOST_LOSS * (1 - share), state, bundle


def _poses(state: BundleState, unit: float) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(state.centres), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = state.rotations, state.centres / unit
    return poses


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Return the angle between two directions [3] in degrees."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def turn_angle(rotation: np.ndarray) -> float:
    """Return the angle of a rotation matrix in degrees."""
    axis = (rotation - rotation.T)[[2, 0, 1], [1, 2, 0]]
    return float(np.degrees(np.arctan2(np.linalg.norm(axis), np.trace(rotation) - 1)))
