"""What moved in pictures, judged by the pictures alone."""

import numpy as np
import torch


def horizontal_shift(before: np.ndarray, after: np.ndarray, most: int = 20) -> int:
    """By how many pixels the picture [H, W, …] has gone to the right, at most `most`; negative is to the left."""
    width = before.shape[1]

    def apart(shift: int) -> float:
        a = before[:, max(0, -shift) : width - max(0, shift)]
        b = after[:, max(0, shift) : width - max(0, -shift)]
        return float(np.abs(a - b).mean())

    return min(range(-most, most + 1), key=apart)


def zoom_factor(before: np.ndarray, after: np.ndarray) -> float:
    """By what factor the picture [H, W, 3] has grown around its middle, 0.8 to 1.4."""
    picture = torch.from_numpy(before).permute(2, 0, 1)[None]
    rows, columns = (slice(size // 6, -size // 6) for size in before.shape[:2])

    def apart(factor: float) -> float:
        turn = torch.tensor([[[1 / factor, 0, 0], [0, 1 / factor, 0]]], dtype=picture.dtype)
        grid = torch.nn.functional.affine_grid(turn, list(picture.shape), align_corners=False)
        closer = torch.nn.functional.grid_sample(picture, grid, align_corners=False)[0].permute(1, 2, 0)
        return float(np.abs(closer.numpy()[rows, columns] - after[rows, columns]).mean())

    return min((float(f) for f in np.arange(0.8, 1.4, 0.02)), key=apart)
