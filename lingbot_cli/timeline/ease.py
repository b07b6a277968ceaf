"""How a motion spreads over its frames."""

from collections.abc import Callable

import numpy as np

# The share of the way done at the share u of the span.
CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda u: u,
    "in": lambda u: u * u,
    "out": lambda u: u * (2 - u),
    "in-out": lambda u: u * u * (3 - 2 * u),
}


def pace(ease: str, frames: int) -> np.ndarray:
    """How fast each of `frames` goes → [frames], 1 on average; linear is exactly 1 everywhere."""
    if ease == "linear":
        return np.ones(frames)
    return np.diff(CURVES[ease](np.linspace(0, 1, frames + 1))) * frames
