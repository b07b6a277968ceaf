"""Interpolation of a camera path: translations linear, rotations along the shortest arc."""

import numpy as np


def to_quaternions(rotations: np.ndarray) -> np.ndarray:
    """Convert rotation matrices [..., 3, 3] to unit quaternions [..., 4], w first, w ≥ 0.

    Each is read from the largest of its four candidate rows, so no angle loses precision.
    """
    r = np.asarray(rotations, np.float64)
    m00, m11, m22 = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    yz, zx, xy = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    syz, szx, sxy = r[..., 2, 1] + r[..., 1, 2], r[..., 0, 2] + r[..., 2, 0], r[..., 1, 0] + r[..., 0, 1]
    rows = np.stack(
        [
            np.stack([1 + m00 + m11 + m22, yz, zx, xy], -1),
            np.stack([yz, 1 + m00 - m11 - m22, sxy, szx], -1),
            np.stack([zx, sxy, 1 - m00 + m11 - m22, syz], -1),
            np.stack([xy, szx, syz, 1 - m00 - m11 + m22], -1),
        ],
        -2,
    )
    best = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    q = np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(q[..., :1] < 0, -q, q)


def to_rotations(quats: np.ndarray) -> np.ndarray:
    """Convert unit quaternions [..., 4], w first, to rotation matrices [..., 3, 3]."""
    w, x, y, z = np.moveaxis(np.asarray(quats, np.float64), -1, 0)
    rows = [
        np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return np.stack(rows, -2)


def slerp(a: np.ndarray, b: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Interpolate from quaternions `a` to `b` [N, 4] by the share `u` [N] of the shortest arc."""
    dot = np.sum(a * b, -1, keepdims=True)
    b = np.where(dot < 0, -b, b)
    angle = np.arccos(np.clip(np.abs(dot), 0.0, 1.0))
    u = u[:, None]
    small = angle < 1e-7
    safe = np.where(small, 1.0, angle)
    wa = np.where(small, 1 - u, np.sin((1 - u) * safe) / np.sin(safe))
    wb = np.where(small, u, np.sin(u * safe) / np.sin(safe))
    q = wa * a + wb * b
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def sample_path(poses: np.ndarray, positions: np.ndarray, *, beyond: bool = False) -> np.ndarray:
    """Sample the path `poses` [N, 4, 4] at fractional rows `positions` [M] → [M, 4, 4] float64.

    Whole rows are exact. Positions past the last row hold it, or go on as its last step did, if `beyond`.
    """
    poses = np.asarray(poses, np.float64)
    last = len(poses) - 1
    positions = np.maximum(np.asarray(positions, np.float64), 0)
    if not beyond or last == 0:
        positions = np.minimum(positions, last)
    low = np.floor(positions).astype(int)
    inside = positions <= last
    low = np.where(inside, low, last - 1)
    high = np.minimum(low + 1, last)
    u = positions - low
    out = poses[low].copy()
    part = u > 0
    if part.any():
        low, high, u = low[part], high[part], u[part]
        turned = slerp(to_quaternions(poses[low, :3, :3]), to_quaternions(poses[high, :3, :3]), u)
        out[part, :3, :3] = to_rotations(turned)
        out[part, :3, 3] = (1 - u[:, None]) * poses[low, :3, 3] + u[:, None] * poses[high, :3, 3]
    return out


def sample_rows(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Sample `values` [N, K] linearly at fractional rows `positions` [M], held at both ends → [M, K]."""
    positions = np.clip(positions, 0, len(values) - 1)
    low = np.floor(positions).astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    u = (positions - low)[:, None]
    return np.where(u > 0, (1 - u) * values[low] + u * values[high], values[low])


def resample_path(poses: np.ndarray, count: int) -> np.ndarray:
    """Sample the path `poses` [N, 4, 4] at `count` even positions, both ends included (model §6)."""
    return sample_path(poses, np.linspace(0, len(poses) - 1, count))
