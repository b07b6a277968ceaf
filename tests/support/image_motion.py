"""Motion between two images, measured from the images alone."""

import numpy as np
import torch


def horizontal_shift(before: np.ndarray, after: np.ndarray, most: int = 20) -> int:
    """Return the shift in pixels that maps one image [H, W, …] to the next, positive to the right."""
    width = before.shape[1]

    def apart(shift: int) -> float:
        a = before[:, max(0, -shift) : width - max(0, shift)]
        b = after[:, max(0, shift) : width - max(0, -shift)]
        return float(np.abs(a - b).mean())

    return min(range(-most, most + 1), key=apart)


def zoom_factor(before: np.ndarray, after: np.ndarray) -> float:
    """Return the zoom factor that maps one image [H, W, 3] to the next, from 0.8 to 1.4."""
    picture = torch.from_numpy(before).permute(2, 0, 1)[None]
    rows, columns = (slice(size // 6, -size // 6) for size in before.shape[:2])

    def apart(factor: float) -> float:
        turn = torch.tensor([[[1 / factor, 0, 0], [0, 1 / factor, 0]]], dtype=picture.dtype)
        grid = torch.nn.functional.affine_grid(turn, list(picture.shape), align_corners=False)
        closer = torch.nn.functional.grid_sample(picture, grid, align_corners=False)[0].permute(1, 2, 0)
        return float(np.abs(closer.numpy()[rows, columns] - after[rows, columns]).mean())

    return min((float(f) for f in np.arange(0.8, 1.4, 0.02)), key=apart)
