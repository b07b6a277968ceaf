"""Translation scale of a camera path: the length that the model reads as one walking step (model §7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lingbot_cli.camera.keys import WALK_UNITS_PER_FRAME

if TYPE_CHECKING:
    import numpy as np

# NumPy is imported on use: the schema of timelines needs only the rules.

FRAMES_PER_STEP = 4  # a step is the way between two latent frames
# One latent frame of standard walking.
FIXED_SCALE = FRAMES_PER_STEP * WALK_UNITS_PER_FRAME
SCALE_FORMS = "fixed, clip, a number above 0 (the path's length of one walking step), or fit:1.0"
_FIT = re.compile(r"fit[:=]\s*(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_MAX_VALUE = 1e6


@dataclass(frozen=True)
class ScaleRule:
    """Choice of a scale: `fixed`, `clip` (the largest step), a `length`, or `fit`: the median step over `value`."""

    kind: Literal["fixed", "clip", "length", "fit"]
    value: float = 1.0

    def __str__(self) -> str:
        if self.kind == "length":
            return f"{self.value:g}"
        return f"fit:{self.value:g}" if self.kind == "fit" else self.kind

    def scale(self, steps: np.ndarray) -> float:
        """Return the scale for a path's `steps` [M], the lengths between its latent frames; 1 if it stands still."""
        if self.kind == "fixed":
            return FIXED_SCALE
        if self.kind == "length":
            return self.value
        moved = steps[steps > 0]
        if not len(moved):
            return 1.0
        if self.kind == "clip":
            return float(moved.max())
        import numpy as np

        return float(np.median(moved)) / self.value


FIXED, CLIP = ScaleRule("fixed"), ScaleRule("clip")


@dataclass(frozen=True)
class StepSizes:
    """Steps between latent frames in walking steps: the median of those that move, and the largest."""

    median: float
    largest: float

    @classmethod
    def of(cls, steps: np.ndarray, scale: float) -> StepSizes:
        """Return the figures of `steps` [M] under a scale."""
        import numpy as np

        moved = steps[steps > 1e-9]
        if not len(moved):
            return cls(0.0, 0.0)
        return cls(float(np.median(moved)) / scale, float(moved.max()) / scale)

    def __str__(self) -> str:
        return f"median step {self.median:.2f}, largest {self.largest:.2f} walking steps"


def parse_scale(value: object) -> ScaleRule:
    """Parse a scale: a text of `SCALE_FORMS`, a number, or {fit: 1.0}. Errors: ValueError."""
    if isinstance(value, ScaleRule):
        return value
    if value in ("fixed", "clip"):
        return FIXED if value == "fixed" else CLIP
    if isinstance(value, dict) and set(value) == {"fit"}:
        return ScaleRule("fit", _positive(value["fit"]))
    if isinstance(value, str) and value == "fit":
        return ScaleRule("fit", 1.0)
    if isinstance(value, str) and (found := _FIT.fullmatch(value.strip())):
        return ScaleRule("fit", _positive(float(found[1])))
    if isinstance(value, str):
        try:
            return ScaleRule("length", _positive(float(value)))
        except ValueError:
            raise ValueError(f"'{value[:40]}' is not a scale; expected {SCALE_FORMS}") from None
    return ScaleRule("length", _positive(value))


def _positive(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MAX_VALUE:
        return float(value)
    raise ValueError(f"{str(value)[:40]} is not a scale; expected {SCALE_FORMS}")


def latent_steps(poses: np.ndarray) -> np.ndarray:
    """Return the lengths [M] between the latent frames (every fourth) of a path [N, 4, 4], a row a video frame."""
    import numpy as np

    return np.linalg.norm(np.diff(poses[::FRAMES_PER_STEP, :3, 3], axis=0), axis=1)
