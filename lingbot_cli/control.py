"""What one chunk of a film is told: the only thing that passes from a timeline to a world."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Control:
    """Where the camera is and what is said during one chunk of `c` latent frames.

    `poses` [c, 4, 4] float64: absolute OpenCV camera-to-world poses, one a latent frame.
    `intrinsics` [c, 4] float64: fx, fy, cx, cy in pixels of 832×480.
    `actions` [c, 4] float32: whether w, a, s, d are held (only the `act` variant of v1 looks at it).
    `frames`: how many of the chunk's video frames belong to the film; the surplus is cut off.
    `recache`: also rewrite the memory of what was seen under the new prompt.
    `cut`: a fresh world begins with this chunk, from this image.
    """

    poses: np.ndarray
    intrinsics: np.ndarray
    actions: np.ndarray
    prompt: str
    frames: int
    recache: bool = False
    cut: Path | None = None
