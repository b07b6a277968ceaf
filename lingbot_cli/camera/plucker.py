"""Plücker rays of every pixel, folded into the channels of the transformer (model §6)."""

from functools import lru_cache

import numpy as np

from lingbot_cli.camera.lens import REFERENCE_HEIGHT, REFERENCE_WIDTH

CELL_PX = 8


def scale_intrinsics(intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale fx, fy, cx, cy [..., 4] from pixels of 832×480 to pixels of `width`×`height`."""
    x, y = width / REFERENCE_WIDTH, height / REFERENCE_HEIGHT
    return np.asarray(intrinsics, np.float64) * np.array([x, y, x, y])


@lru_cache(maxsize=4)
def ray_directions(intrinsics: tuple[float, ...], height: int, width: int) -> np.ndarray:
    """Return unit directions through the pixel centres in camera axes → [3, 64, h, w] float32, cells folded.

    `intrinsics` fx, fy, cx, cy for 832×480. The second axis is (dy, dx) inside an 8×8 cell.
    """
    fx, fy, cx, cy = scale_intrinsics(np.array(intrinsics), height, width)
    x = ((np.arange(width) + 0.5 - cx) / fx).reshape(-1, CELL_PX).T[None, :, None, :]  # [1, dx, 1, w]
    y = ((np.arange(height) + 0.5 - cy) / fy).reshape(-1, CELL_PX).T[:, None, :, None]  # [dy, 1, h, 1]
    z = 1 / np.sqrt(x * x + y * y + 1)
    grid = np.stack([x * z, y * z, z]).astype(np.float32)
    grid = grid.reshape(3, CELL_PX * CELL_PX, height // CELL_PX, width // CELL_PX)
    grid.flags.writeable = False  # one array serves every caller
    return grid


def plucker_rays(
    poses: np.ndarray, intrinsics: np.ndarray, height: int, width: int, actions: np.ndarray | None = None
) -> np.ndarray:
    """Return the transformer's camera channels of a chunk.

    `poses` [c, 4, 4] relative (see `relative_poses`), `intrinsics` [c, 4] for 832×480.
    → [384, c, h, w] float32: origin (3) and direction (3) of each pixel's ray, 8×8 cells folded in order
    (channel, dy, dx). With `actions` [c, 4], the `act` variant: direction (3) and the state of w, a, s, d
    (4) → [448, c, h, w].
    """
    count, h, w = len(poses), height // CELL_PX, width // CELL_PX
    poses = np.asarray(poses, np.float32)
    lead = 3 if actions is None else 0
    out = np.empty((6 if actions is None else 7, CELL_PX * CELL_PX, count, h, w), np.float32)
    for i in range(count):
        grid = ray_directions(tuple(map(float, intrinsics[i])), height, width)
        out[lead : lead + 3, :, i] = (poses[i, :3, :3] @ grid.reshape(3, -1)).reshape(grid.shape)
        if actions is None:
            out[:3, :, i] = poses[i, :3, 3].reshape(3, 1, 1, 1)
        else:
            out[3:, :, i] = np.asarray(actions[i], np.float32).reshape(4, 1, 1, 1)
    return out.reshape(-1, count, h, w)
