"""Translation between two images, estimated from the images alone."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_ROUNDS = 4
_EDGE = 4  # pixels at the border that a shift may bring in from outside


def estimate_shift(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the shift [2] of `after` against `before` (uint8 [H, W, 3]) in pixels right and down, to about 0.1.

    Registration by Gauss–Newton (Lucas and Kanade, 1981) on blurred images with outliers weighted down; for
    shifts of a few pixels.
    """
    first, second = _soft(before), _soft(after)
    inner = slice(_EDGE, -_EDGE)
    across = (first[:, inner, _EDGE + 1 : 1 - _EDGE] - first[:, inner, _EDGE - 1 : -_EDGE - 1]) / 2
    down = (first[:, _EDGE + 1 : 1 - _EDGE, inner] - first[:, _EDGE - 1 : -_EDGE - 1, inner]) / 2
    slope = torch.stack([across.flatten(), down.flatten()], 1)
    gone = torch.zeros(2, dtype=torch.float64)
    for _ in range(_ROUNDS):
        miss = (_moved_back(second, gone)[:, inner, inner] - first[:, inner, inner]).flatten()
        trust = 1 / (1 + miss.abs())
        gone -= torch.linalg.solve(slope.T @ (slope * trust[:, None]), slope.T @ (miss * trust))
    return gone.numpy()


def _moved_back(picture: Tensor, gone: Tensor) -> Tensor:
    """Sample an image [3, H, W] so many pixels further right and down."""
    height, width = picture.shape[1:]
    x = 2 * (torch.arange(width, dtype=torch.float64) + 0.5 + gone[0]) / width - 1
    y = 2 * (torch.arange(height, dtype=torch.float64) + 0.5 + gone[1]) / height - 1
    grid = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], -1)
    return F.grid_sample(picture[None], grid[None], mode="bicubic", align_corners=False)[0]


def _soft(picture: np.ndarray) -> Tensor:
    """Convert an image [H, W, 3] uint8 to [3, H, W] float64, blurred over five pixels."""
    return F.avg_pool2d(torch.from_numpy(picture).permute(2, 0, 1)[None].double(), 5, 1)[0]
