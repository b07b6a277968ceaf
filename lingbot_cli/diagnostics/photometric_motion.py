"""Estimate of the camera's motion over about a second from small frames, pixel by pixel."""

from collections.abc import Sequence

import numpy as np

from lingbot_cli.diagnostics.bundle import BundleState
from lingbot_cli.diagnostics.camera_estimate import DIRECTIONS, STEPS, CameraMotion, angle, turn_angle
from lingbot_cli.diagnostics.photometric import VERTICES, Alignment, Fit, PyramidLevel, Reference, moved_state

_WIDTH_PX = 112  # the doubts hold at this width
_LEVELS = 2
_MIN_TEXTURED = 0.02  # of the pixels
_START_INVERSE_DEPTH = 0.15
_TURN_ITERATIONS, _ITERATIONS, _KEPT = 15, 20, 3
_ROUNDS = ((5, 14), (6, 7), (8, 4))  # iterations at the smallest size, of as many directions
# Loss of a camera that only turns, as a multiple of the best motion's: up to the first there is no travel if that
# loss is small, up to the second it is unclear. The noise makes the multiple of a small loss mean something.
_STILL, _UNCLEAR, _STILL_LOSS, _NOISE_LOSS = 1.25, 1.7, 0.5, 0.05
_ALIKE = 1.03  # a worse motion has more than this share of the best one's total
# Errors of drawings with known cameras are up to so many standard errors of independent pixels (19 of 20 windows).
_TURN_SPREAD, _HEADING_SPREAD = 15.0, 25.0
_MAX_DOUBT = 30.0  # degrees, of a direction of travel that is known at all


def estimate_small_motion(
    frames: Sequence[np.ndarray], lenses: np.ndarray, width: int
) -> CameraMotion | None:
    """Return the motion over RGB frames uint8 [H, W, 3], None where too little texture is seen.

    `lenses` [F, 4]: fx, fy, cx, cy in pixels; `width`: that of the frames as they were rendered. Several directions
    of travel are tried at the smallest size. The doubts come from the curvature of the best one's loss, and from
    others that explain the frames as well.
    """
    keys = [round(i * (len(frames) - 1) / STEPS) for i in range(STEPS + 1)]
    middle = keys.pop(STEPS // 2)
    levels = _pyramid(frames, lenses, width)
    focal = float(levels[-1].lenses[middle, 0])
    coarse = Reference(levels[0], middle)
    if coarse.size < _MIN_TEXTURED * levels[0].width * levels[0].height:
        return None
    turns = _chained_turns(levels[0], middle, focal)[keys]
    alignment = Alignment(levels[0], coarse, keys, focal)
    state = BundleState(turns, np.zeros((STEPS, 3)), np.zeros(VERTICES))
    still = alignment.refine(state, _TURN_ITERATIONS, turns_only=True)
    times = (np.array(keys) - middle) / (len(frames) - 1)
    inverse = np.full(VERTICES, _START_INVERSE_DEPTH)
    units = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
    states = [BundleState(still.state.rotations, times[:, None] * unit, inverse) for unit in units]
    for iterations, count in _ROUNDS:
        fits = sorted((alignment.refine(each, iterations) for each in states[:count]), key=_total)
        states = [fit.state for fit in fits]
    for level in levels[1:]:
        reference = Reference(level, middle)
        alignment = Alignment(level, reference, keys, focal)
        still = alignment.refine(still.state, _TURN_ITERATIONS, turns_only=True)
        fits = sorted((alignment.refine(each, _ITERATIONS) for each in states[:_KEPT]), key=_total)
        states = [fit.state for fit in fits]
    return _motion(reference, still, fits)


def _total(fit: Fit) -> float:
    return fit.total


def _pyramid(frames: Sequence[np.ndarray], lenses: np.ndarray, width: int) -> list[PyramidLevel]:
    """Return the levels, the smallest first, each of half the next one's size."""
    height, shown = frames[0].shape[:2]
    width = min(width, _WIDTH_PX)
    size = width, round(height * width / shown)
    return [
        PyramidLevel(frames, lenses, size[0] >> less, size[1] >> less) for less in reversed(range(_LEVELS))
    ]


def _chained_turns(level: PyramidLevel, middle: int, focal: float) -> np.ndarray:
    """Return every frame's rotation [F, 3, 3] relative to the middle one, from each frame to the next."""
    turns = np.tile(np.eye(3), (len(level.images), 1, 1))
    still = np.zeros((1, 3)), np.zeros(VERTICES)
    for step in (1, -1):
        last = np.eye(3)[None]
        for key in range(middle + step, len(turns) if step > 0 else -1, step):
            alignment = Alignment(level, Reference(level, key - step), [key], focal)
            fit = alignment.refine(BundleState(last, *still), _TURN_ITERATIONS, turns_only=True)
            last = fit.state.rotations
            turns[key] = turns[key - step] @ last[0]
    return turns


def _motion(reference: Reference, still: Fit, fits: Sequence[Fit]) -> CameraMotion:
    """Return the motion of the best fit, or of a camera that only turns if that explains the frames as well."""
    best = fits[0]
    turn, travel = _ends(best.state)
    only_turn, _ = _ends(still.state)
    ratio = (still.loss + _NOISE_LOSS) / (best.loss + _NOISE_LOSS)
    if ratio <= _UNCLEAR:
        travels = False if ratio <= _STILL and still.loss <= _STILL_LOSS else None
        doubt = 0.0 if travels is False else turn_angle(only_turn.T @ turn)
        return CameraMotion(_poses(still.state), np.zeros((0, 3)), travels, turn_doubt=doubt)
    alike = [_ends(fit.state) for fit in fits if fit.total <= _ALIKE * best.total]
    turn_error, heading_error = _standard_errors(best)
    turn_doubt = max([_TURN_SPREAD * turn_error, *(turn_angle(turn.T @ other) for other, _ in alike)])
    doubt = max([_HEADING_SPREAD * heading_error, *(angle(travel, other) for _, other in alike)])
    poses = _poses(best.state)
    first = best.state.rotations[0], best.state.centres[0]
    inverse = reference.blend @ best.state.inverse_depths
    known = reference.texture & (inverse > 0)
    points = (reference.rays / np.maximum(inverse, 1e-9)).T[known] - first[1]
    unit = float(np.linalg.norm(best.state.centres - first[1], axis=1).max())
    return CameraMotion(
        poses, points @ first[0] / unit, doubt <= _MAX_DOUBT or None, doubt, min(turn_doubt, 180)
    )


def _ends(state: BundleState) -> tuple[np.ndarray, np.ndarray]:
    """Return the turn [3, 3] and the travel [3] from the first to the last key frame, in the first one's axes."""
    first, last = state.rotations[[0, -1]]
    return first.T @ last, first.T @ (state.centres[-1] - state.centres[0])


def _poses(state: BundleState) -> np.ndarray:
    """Return camera-to-world poses [K, 4, 4] of the key frames, from the first."""
    poses = np.tile(np.eye(4), (len(state.centres), 1, 1))
    centres = (state.centres - state.centres[0]) @ state.rotations[0]
    unit = float(np.linalg.norm(centres, axis=1).max())
    poses[:, :3, :3], poses[:, :3, 3] = state.rotations[0].T @ state.rotations, centres / (unit or 1.0)
    return poses


def _standard_errors(fit: Fit) -> tuple[float, float]:
    """Return the standard errors in degrees of the whole turn and of the heading, if pixels were independent."""
    cameras = 6 * len(fit.state.centres)
    own, mixed, depths = (
        fit.normal[:cameras, :cameras],
        fit.normal[:cameras, cameras:],
        fit.normal[cameras:, cameras:],
    )
    information = own - mixed @ np.linalg.solve(depths + 1e-6 * np.eye(len(depths)), mixed.T)
    turn, travel = _ends(fit.state)
    small, slopes = 1e-5, []
    for column in range(cameras):
        step = np.zeros(len(fit.gradient))
        step[column] = small
        other, there = _ends(moved_state(fit.state, step))
        spin = turn.T @ other
        axis = (spin - spin.T)[[2, 0, 1], [1, 2, 0]] / 2
        aside = np.cross(travel, there) / np.linalg.norm(travel) / np.linalg.norm(there)
        slopes.append(np.concatenate([axis, aside]) / small)
    ridge = 1e-9 * np.trace(information) / cameras * np.eye(cameras)
    spread = np.array(slopes).T @ np.linalg.pinv(information + ridge) @ np.array(slopes)
    largest = (np.linalg.eigvalsh(block)[-1] for block in (spread[:3, :3], spread[3:, 3:]))
    turn_error, heading_error = (float(np.degrees(np.sqrt(max(value, 0.0)))) for value in largest)
    return turn_error, heading_error
