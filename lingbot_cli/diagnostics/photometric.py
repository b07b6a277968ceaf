"""Photometric alignment of small frames with a reference frame: camera poses and a grid of inverse depths.

Every textured pixel of the reference is predicted in the other frames. Its inverse depth is interpolated between the
vertices of a coarse grid, so that edges, whose place is known across them only, are held by their surroundings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lingbot_cli.diagnostics.bundle import BundleState, exponential
from lingbot_cli.diagnostics.point_tracks import load_opencv

_CELLS = (16, 10)  # of the grid, across and down
_NOISE, _PLACE_ERROR_PX = 3.0, 0.15  # standard errors of a pixel's value (of 255) and of an edge's place
_BLUR_PX = 1.0
_MIN_TEXTURE = 0.05
_SMOOTHNESS, _STEP_PX = 0.3, 2.0  # weight and scale of differences between neighbouring vertices
_MIN_DEPTH, _STANDING, _FAR_PX = 1e-2, 1e-9, 9
_MAX_DAMPING, _CONVERGED = 1e4, 1e-3


_NUMBERS = np.arange((_CELLS[0] + 1) * (_CELLS[1] + 1)).reshape(_CELLS[1] + 1, _CELLS[0] + 1)
_FIRST = np.concatenate([_NUMBERS[:, :-1].ravel(), _NUMBERS[:-1].ravel()])
_SECOND = np.concatenate([_NUMBERS[:, 1:].ravel(), _NUMBERS[1:].ravel()])
VERTICES = _NUMBERS.size


class PyramidLevel:
    """RGB frames at one size: blurred images with their gradients, and lenses [F, 4] in pixels of that size."""

    def __init__(self, frames: Sequence[np.ndarray], lenses: np.ndarray, width: int, height: int) -> None:
        cv2 = load_opencv()
        self.width, self.height = width, height
        shown_height, shown_width = frames[0].shape[:2]
        self.lenses = lenses * np.tile([width / shown_width, height / shown_height], 2)
        self.images = []
        for frame in frames:
            image = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
            image = cv2.GaussianBlur(image, (0, 0), _BLUR_PX)
            slopes = [cv2.Scharr(image, cv2.CV_32F, *order) / 32 for order in ((1, 0), (0, 1))]
            self.images.append((image, *slopes))

    def sample(self, key: int, u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
        """Return the values and gradients, each [N, 3], of a frame at pixels."""
        cv2 = load_opencv()
        across = u.clip(-_FAR_PX, self.width + _FAR_PX).astype(np.float32)[:, None]
        down = v.clip(-_FAR_PX, self.height + _FAR_PX).astype(np.float32)[:, None]
        options = {"interpolation": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
        return [cv2.remap(image, across, down, **options)[:, 0] for image in self.images[key]]


class Reference:
    """Textured pixels of one frame of a level: rays [3, N], values and squared gradients [N, 3], vertices around."""

    def __init__(self, level: PyramidLevel, key: int) -> None:
        cv2 = load_opencv()
        image, across, down = level.images[key]
        square = across**2 + down**2
        edge = square * _PLACE_ERROR_PX**2
        texture = (edge / (_NOISE**2 + edge)).sum(2) > _MIN_TEXTURE
        y, x = np.nonzero(cv2.dilate(texture.astype(np.uint8), np.ones((3, 3), np.uint8)))
        fx, fy, cx, cy = level.lenses[key]
        self.rays = np.stack([(x + 0.5 - cx) / fx, (y + 0.5 - cy) / fy, np.ones(len(x))])
        self.values, self.squares, self.size = image[y, x], square[y, x], len(x)
        self.texture = texture[y, x]
        column, row = (x + 0.5) / level.width * _CELLS[0], (y + 0.5) / level.height * _CELLS[1]
        left, top = column.astype(int), row.astype(int)
        right, low = column - left, row - top
        corner = top * (_CELLS[0] + 1) + left
        self._vertices = corner + np.array([0, 1, _CELLS[0] + 1, _CELLS[0] + 2])[:, None]
        self._shares = np.stack([(1 - right) * (1 - low), right * (1 - low), (1 - right) * low, right * low])
        self.blend = np.zeros((self.size, VERTICES))
        self.blend[np.arange(self.size)[:, None], self._vertices.T] = self._shares.T

    def products(self, weights: np.ndarray) -> np.ndarray:
        """Return blendᵀ · diag(weights [N]) · blend, [vertices, vertices]."""
        total = np.zeros(VERTICES**2)
        for first, share in zip(self._vertices, self._shares, strict=True):
            for second, other in zip(self._vertices, self._shares, strict=True):
                total += np.bincount(first * VERTICES + second, share * other * weights, VERTICES**2)
        return total.reshape(VERTICES, VERTICES)


class _Prediction(NamedTuple):
    """Pixels of the reference in another frame: `loss`, how many are seen, derivatives by axis of the image.

    `cameras` [2, 6, N] and `depths` [2, N] are derivatives of the place; `weights` [2, 2, N] multiply squared
    distances of places and `pull` [2, N] is the gradient of the loss.
    """

    loss: float
    seen: int
    cameras: np.ndarray
    depths: np.ndarray
    weights: np.ndarray
    pull: np.ndarray


@dataclass(frozen=True, eq=False)
class Fit:
    """State with its mean robust `loss` of a pixel, that of all with the smoothness (`total`), and derivatives."""

    state: BundleState
    loss: float
    total: float
    normal: np.ndarray
    gradient: np.ndarray


class Alignment:
    """Frames `keys` of a level, predicted from the reference frame; `focal_px` is the scale of the smoothness."""

    def __init__(
        self, level: PyramidLevel, reference: Reference, keys: Sequence[int], focal_px: float
    ) -> None:
        self._level, self._reference, self._keys = level, reference, keys
        self._scale = focal_px / _STEP_PX

    def fit(self, state: BundleState) -> Fit:
        """Linearise around a state: 6 columns a camera (turn, then shift in its own axes), then the vertices."""
        reference, cameras = self._reference, 6 * len(self._keys)
        inverse = reference.blend @ state.inverse_depths
        normal = np.zeros((cameras + VERTICES, cameras + VERTICES))
        gradient = np.zeros(cameras + VERTICES)
        loss, seen, own = 0.0, 0, np.zeros(reference.size)
        for number, key in enumerate(self._keys):
            turn = state.rotations[number]
            found = self._predict(key, turn, turn.T @ state.centres[number], inverse)
            loss, seen = loss + found.loss, seen + found.seen
            rows = slice(6 * number, 6 * number + 6)
            weighted = np.einsum("abn,bkn->akn", found.weights, found.cameras)
            normal[rows, rows] = sum(found.cameras[axis] @ weighted[axis].T for axis in (0, 1))
            gradient[rows] = sum(found.cameras[axis] @ found.pull[axis] for axis in (0, 1))
            if not state.centres[number].any():
                continue  # a camera that only turns shows no depth
            normal[rows, cameras:] = (weighted * found.depths[:, None]).sum(0) @ reference.blend
            normal[cameras:, rows] = normal[rows, cameras:].T
            gradient[cameras:] += (found.pull * found.depths).sum(0) @ reference.blend
            own += np.einsum("an,abn,bn->n", found.depths, found.weights, found.depths)
        if own.any():
            normal[cameras:, cameras:] = reference.products(own)
        steps = (state.inverse_depths[_FIRST] - state.inverse_depths[_SECOND]) * self._scale
        weights = _SMOOTHNESS / (1 + steps**2) * self._scale
        for ends, sign in ((_FIRST, 1), (_SECOND, -1)):
            gradient[cameras:] += sign * np.bincount(ends, weights * steps, VERTICES)
            normal[cameras + _NUMBERS.ravel(), cameras + _NUMBERS.ravel()] += np.bincount(
                ends, weights * self._scale, VERTICES
            )
        normal[cameras + _FIRST, cameras + _SECOND] -= weights * self._scale
        normal[cameras + _SECOND, cameras + _FIRST] -= weights * self._scale
        mean = loss / max(seen, 1)
        total = mean * reference.size * len(self._keys) + _SMOOTHNESS * float(np.log1p(steps**2).sum())
        return Fit(state, mean, total, normal, gradient)

    def _predict(self, key: int, turn: np.ndarray, shift: np.ndarray, inverse: np.ndarray) -> _Prediction:
        """Predict the reference's pixels of inverse depths [N] in a frame; `shift` [3] is in that frame's axes."""
        reference, level = self._reference, self._level
        point = turn.T @ reference.rays - inverse * shift[:, None]
        near = 1 / np.maximum(point[2], _MIN_DEPTH)
        x, y = point[0] * near, point[1] * near
        fx, fy, cx, cy = level.lenses[key]
        u, v = x * fx + cx - 0.5, y * fy + cy - 0.5
        seen = (u > 0.5) & (u < level.width - 1.5) & (v > 0.5) & (v < level.height - 1.5)
        seen &= point[2] > _MIN_DEPTH
        values, across, down = level.sample(key, u, v)
        residual = values - reference.values
        slope = (across**2 + down**2 + reference.squares) / 2
        weight = 1 / (_NOISE**2 + _PLACE_ERROR_PX**2 * slope) / residual.shape[1]
        square = np.where(seen, (weight * residual**2).sum(1), 0).astype(float)
        weight *= (seen / (1 + square))[:, None]
        slopes = np.stack([across, down])
        weights = (weight * slopes[:, None] * slopes).sum(3).astype(float)
        moved, none = -inverse * near, np.zeros_like(x)
        columns = fx * np.stack([x * y, -1 - x * x, y, moved, none, -x * moved])
        rows = fy * np.stack([1 + y * y, -x * y, -x, none, moved, -y * moved])
        return _Prediction(
            loss=float(np.log1p(square).sum()),
            seen=int(seen.sum()),
            cameras=np.stack([columns, rows]),
            depths=-near * np.stack([fx * (shift[0] - x * shift[2]), fy * (shift[1] - y * shift[2])]),
            weights=weights,
            pull=(weight * residual * slopes).sum(2).astype(float),
        )

    def refine(self, state: BundleState, iterations: int, *, turns_only: bool = False) -> Fit:
        """Return the fit after Levenberg–Marquardt steps; the centres' largest distance from the reference is ½."""
        cameras = 6 * len(self._keys)
        free = (
            np.arange(cameras).reshape(-1, 6)[:, :3].ravel() if turns_only else np.arange(cameras + VERTICES)
        )
        damping, best = 1e-2, self.fit(state)
        for _ in range(iterations):
            normal = best.normal[np.ix_(free, free)]
            step = np.zeros(cameras + VERTICES)
            step[free] = -np.linalg.solve(
                normal + np.diag(damping * np.diag(normal) + 1e-6), best.gradient[free]
            )
            trial = self.fit(moved_state(best.state, step))
            if trial.total >= best.total:
                damping *= 5
                if damping > _MAX_DAMPING:
                    break
                continue
            converged = best.total - trial.total < _CONVERGED * best.total
            best, damping = trial, max(damping / 4, 1e-7)
            if converged:
                break
        return best


def moved_state(state: BundleState, step: np.ndarray) -> BundleState:
    """Return a state after a step [6K + vertices] of its cameras and inverse depths, in units of its travel."""
    cameras = step[: 6 * len(state.centres)].reshape(-1, 6)
    shifts = np.einsum("kji,kj->ki", state.rotations, state.centres) + cameras[:, 3:]
    rotations = state.rotations @ exponential(cameras[:, :3])
    centres = np.einsum("kij,kj->ki", rotations, shifts)
    inverse = np.maximum(state.inverse_depths + step[6 * len(centres) :], 0)
    unit = 2 * float(np.linalg.norm(centres, axis=1).max())
    if unit > _STANDING:
        centres, inverse = centres / unit, inverse * unit
    return BundleState(rotations, centres, inverse)
