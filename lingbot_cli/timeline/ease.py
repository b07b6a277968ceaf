"""How a motion spreads over its frames."""

from collections.abc import Callable

import numpy as np

# The share of the way done at the share u of the span.
EASING_CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda u: u,
    "in": lambda u: u * u,
    "out": lambda u: u * (2 - u),
    "in-out": lambda u: u * u * (3 - 2 * u),
}


def easing_speeds(ease: str, frames: int, part: range | None = None) -> np.ndarray:
    """How fast each of a span's `frames`, or a part of them, goes; 1 on average, linear is exactly 1."""
    part = part if part is not None else range(frames)
    if ease == "linear":
        return np.ones(len(part))
    return np.diff(EASING_CURVES[ease](np.arange(part.start, part.stop + 1) / frames)) * frames
