"""Control of one chunk: the only value that passes from a timeline to a model session."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

FRAMES_PER_LATENT = 4  # video frames of each latent frame after the first


@dataclass(frozen=True)
class Control:
    """Camera and prompt of one chunk of `c` latent frames.

    `poses` [c, 4, 4] float64: absolute OpenCV camera-to-world poses, one a latent frame.
    `intrinsics` [c, 4] float64: fx, fy, cx, cy in pixels of 832×480.
    `actions` [c, 4] float32: whether w, a, s, d are held (read only by the `act` variant of v1).
    `frames`: the chunk's video frames that belong to the video; the surplus is cut off.
    `recache`: also rewrite the KV cache under the new prompt.
    `cut`: a new scene begins with this chunk, from this image.
    `action_text`: the end of `prompt` that comes from actions; of a prompt that is too long the rest is cut.
    """

    poses: np.ndarray
    intrinsics: np.ndarray
    actions: np.ndarray
    prompt: str
    frames: int
    recache: bool = False
    cut: Path | None = None
    action_text: str = ""
