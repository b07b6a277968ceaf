"""Bundle adjustment of a few key frames: the camera poses and depths under which tracked points lie where they do.

A point is a pixel of the first key frame that shows it, its anchor, and an inverse depth along that ray.
"""

from dataclasses import dataclass

import numpy as np

_TOLERANCE_PX = 0.25  # of the robust loss (Cauchy)
_WIDE_TOLERANCES_PX = (8.0, 2.0)  # of a first guess
_MIN_INVERSE_DEPTH, _START_INVERSE_DEPTH = 1e-4, 0.3
_MIN_DEPTH = 1e-3
_MAX_DAMPING = 1e5
_TURN_ROUNDS, _GUESS_ITERATIONS = 10, 15
_Derivatives = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class BundleState:
    """Camera-to-world rotations [K, 3, 3] and centres [K, 3], the first the identity, and inverse depths [N]."""

    rotations: np.ndarray
    centres: np.ndarray
    inverse_depths: np.ndarray


class Bundle:
    """Points seen in key frames: `pixels` [K, N, 2], NaN where a point is not seen, and `weights` [K, N, 2, 2].

    A weight multiplies a distance in pixels: 1 across an edge and less along it, where a point may slide.
    `lenses` [K, 4]: fx, fy, cx, cy.
    """

    def __init__(self, pixels: np.ndarray, weights: np.ndarray, lenses: np.ndarray) -> None:
        self._lenses = lenses
        self._keys, self._points = pixels.shape[:2]
        planar = (pixels - lenses[:, None, 2:]) / lenses[:, None, :2]
        self._rays = np.concatenate([planar, np.ones((*planar.shape[:2], 1))], -1)
        seen = ~np.isnan(planar[..., 0])
        self.anchors: np.ndarray = seen.argmax(0)
        every = np.arange(self._points)
        self._anchor_rays = self._rays[self.anchors, every]
        seen[self.anchors, every] = False
        self._key, self._point = np.nonzero(seen)
        self._anchor = self.anchors[self._point]
        self._target = planar[self._key, self._point]
        self._weight = weights[self._key, self._point] * lenses[self._key, None, :2]

    @property
    def observations(self) -> int:
        """Number of times that a point is seen after its anchor."""
        return len(self._key)

    def turning(self) -> BundleState:
        """Return the state of a camera that only turns, as far as the points agree with one."""
        still = BundleState(
            np.tile(np.eye(3), (self._keys, 1, 1)),
            np.zeros((self._keys, 3)),
            np.full(self._points, _MIN_INVERSE_DEPTH),
        )
        chained = [np.eye(3)]
        for key in range(1, self._keys):
            both = ~np.isnan(self._rays[key - 1 : key + 1]).any((0, 2))
            chained.append(chained[-1] @ _fit_turn(self._rays[key - 1, both], self._rays[key, both]))
        found = []
        for rotations in (still.rotations, np.stack(chained)):
            state = BundleState(rotations, still.centres, still.inverse_depths)
            for tolerance in _WIDE_TOLERANCES_PX:
                state, loss = self.refine(state, _GUESS_ITERATIONS, tolerance, turns_only=True)
            found.append((loss, state))
        return min(found, key=lambda each: each[0])[1]

    def travelling(self, turning: BundleState, direction: np.ndarray) -> BundleState:
        """Return a state with the turns of another that travels along `direction` [3] at a steady speed."""
        centres = np.linspace(0, 1, self._keys)[:, None] * direction
        return BundleState(turning.rotations, centres, np.full(self._points, _START_INVERSE_DEPTH))

    def refine(
        self,
        state: BundleState,
        iterations: int,
        tolerance_px: float = _TOLERANCE_PX,
        *,
        turns_only: bool = False,
    ) -> tuple[BundleState, float]:
        """Return the state after Levenberg–Marquardt steps, and the mean robust loss of an observation."""
        damping = 1e-2
        loss, derivatives = self._linearise(state, tolerance_px)
        for _ in range(iterations):
            trial = self._moved(state, derivatives, damping, turns_only=turns_only)
            trial_loss, trial_derivatives = self._linearise(trial, tolerance_px)
            if trial_loss >= loss:
                damping *= 5
                if damping > _MAX_DAMPING:
                    break
                continue
            converged = loss - trial_loss < 1e-7 * loss
            state, loss, derivatives = trial, trial_loss, trial_derivatives
            if converged:
                break
            damping = max(damping / 4, 1e-8)
        return state, loss

    def _linearise(self, state: BundleState, tolerance_px: float) -> tuple[float, _Derivatives]:
        """Return the loss; residuals [M, 2] with derivatives by cameras [M, 2, 6(K−1)] and depths [M, 2]."""
        key, anchor = self._key, self._anchor
        inverse = state.inverse_depths[self._point]
        far = np.einsum("nij,nj->ni", state.rotations[anchor], self._anchor_rays[self._point])
        between = state.centres[anchor] - state.centres[key]
        ray = far + inverse[:, None] * between
        turn = state.rotations[key].transpose(0, 2, 1)
        seen = np.einsum("nij,nj->ni", turn, ray)
        depth = np.maximum(seen[:, 2:], _MIN_DEPTH)
        planar = seen[:, :2] / depth
        residual = np.einsum("nij,nj->ni", self._weight, planar - self._target)
        square = (residual**2).sum(1) / tolerance_px**2
        trust = 1 / np.sqrt(1 + square)
        project = np.zeros((len(key), 2, 3))
        project[:, 0, 0] = project[:, 1, 1] = 1 / depth[:, 0]
        project[:, :, 2] = -planar / depth
        slope = trust[:, None, None] * (self._weight @ project @ turn)
        moves = slope * inverse[:, None, None]
        cameras = np.zeros((len(key), 2, self._keys, 6))
        rows = np.arange(len(key))
        cameras[rows, :, anchor] = np.concatenate([-slope @ _cross(far), moves], -1)
        cameras[rows, :, key] = np.concatenate([slope @ _cross(ray), -moves], -1)
        depths = np.einsum("nij,nj->ni", slope, between)
        flat = cameras[:, :, 1:].reshape(len(key), 2, -1)
        return float(np.log1p(square).mean()), (residual * trust[:, None], flat, depths)

    def _moved(
        self, state: BundleState, derivatives: _Derivatives, damping: float, *, turns_only: bool
    ) -> BundleState:
        """Return the state after one step; depths are eliminated first (Schur complement)."""
        residual, cameras, depths = derivatives
        size = cameras.shape[-1]
        if turns_only:
            cameras, depths = cameras * (np.arange(size) % 6 < 3), np.zeros_like(depths)
        flat = cameras.reshape(-1, size)
        normal, gradient = flat.T @ flat, flat.T @ residual.ravel()
        mixed, own, slope = np.zeros((self._points, size)), np.zeros(self._points), np.zeros(self._points)
        np.add.at(mixed, self._point, np.einsum("nik,ni->nk", cameras, depths))
        np.add.at(own, self._point, (depths**2).sum(1))
        np.add.at(slope, self._point, (depths * residual).sum(1))
        own = own * (1 + damping) + 1e-6
        normal += np.diag(damping * np.diag(normal) + 1e-9)
        reduced = normal - (mixed / own[:, None]).T @ mixed
        step = -np.linalg.solve(reduced, gradient - mixed.T @ (slope / own))
        change = -(slope + mixed @ step) / own
        turns, moves = step.reshape(-1, 6)[:, :3], step.reshape(-1, 6)[:, 3:]
        rotations, centres = state.rotations.copy(), state.centres.copy()
        rotations[1:] = exponential(turns) @ rotations[1:]
        centres[1:] += moves
        return BundleState(rotations, centres, np.maximum(state.inverse_depths + change, _MIN_INVERSE_DEPTH))

    def predicted_pixels(self, state: BundleState) -> np.ndarray:
        """Return the pixels [K, N, 2] at which the points would be seen, NaN behind the camera."""
        rays = np.einsum("nij,nj->ni", state.rotations[self.anchors], self._anchor_rays)
        between = state.centres[self.anchors] - state.centres[:, None]
        seen = np.einsum("kji,knj->kni", state.rotations, rays + state.inverse_depths[:, None] * between)
        depth = np.where(seen[..., 2:] > _MIN_DEPTH, seen[..., 2:], np.nan)
        return seen[..., :2] / depth * self._lenses[:, None, :2] + self._lenses[:, None, 2:]

    def points(self, state: BundleState) -> tuple[np.ndarray, np.ndarray]:
        """Return the points [N, 3] in the first camera's axes, and the relative error of their depths [N]."""
        _, (_, _, depths) = self._linearise(state, _TOLERANCE_PX)
        information = np.zeros(self._points)
        np.add.at(information, self._point, (depths**2).sum(1))
        error = _TOLERANCE_PX / np.sqrt(np.maximum(information, 1e-12)) / state.inverse_depths
        rays = np.einsum("nij,nj->ni", state.rotations[self.anchors], self._anchor_rays)
        return state.centres[self.anchors] + rays / state.inverse_depths[:, None], error


def _fit_turn(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the camera's turn [3, 3] between two frames from rays [N, 3], outliers left out."""
    a, b = (rays / np.linalg.norm(rays, axis=1, keepdims=True) for rays in (before, after))
    rotation, weights = np.eye(3), np.ones(len(a))
    for _ in range(_TURN_ROUNDS):
        u, _, vt = np.linalg.svd((a * weights[:, None]).T @ b)
        rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        weights = 1 / np.maximum(np.linalg.norm(a - b @ rotation.T, axis=1), 1e-4)
    return rotation


def exponential(turns: np.ndarray) -> np.ndarray:
    """Return the rotation matrices [N, 3, 3] of rotation vectors [N, 3] (Rodrigues)."""
    angles = np.maximum(np.linalg.norm(turns, axis=1), 1e-12)[:, None, None]
    cross = _cross(turns) / angles
    out: np.ndarray = np.eye(3) + np.sin(angles) * cross + (1 - np.cos(angles)) * cross @ cross
    return out


def _cross(vectors: np.ndarray) -> np.ndarray:
    """Return the matrices [N, 3, 3] of the cross product with vectors [N, 3]."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
