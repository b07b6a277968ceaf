"""Lenses fx, fy, cx, cy: their unit, their limits, and square pixels on frames of any shape."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from lingbot_cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

# NumPy is imported on use: the schema of timelines needs only numbers.

# The frame size of published intrinsics.
REFERENCE_WIDTH, REFERENCE_HEIGHT = 832, 480
MIN_FOV_DEGREES, MAX_FOV_DEGREES = 5.0, 150.0
# Of the published servers and of the built-in model: 80 degrees across 832×480.
DEFAULT_FOCAL_PX = 500.0
_MAX_NORMALISED_FOCAL = 0.5 / math.tan(math.radians(MIN_FOV_DEGREES) / 2)
_OFF_CENTRE = 0.1  # share of the side by which a principal point is taken as another image's
# Sizes are rounded to 16 pixels: nearer to 832:480 than this, the published scaling counts as square.
_SQUARE = 0.03


def square_lens(
    fov: float | None, height: int = REFERENCE_HEIGHT, width: int = REFERENCE_WIDTH
) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy for 832×480 with square pixels on frames of a size.

    `fov` is horizontal, in degrees; the default lens has its 80 degrees across the longer side.
    """
    default = fov is None
    focal = DEFAULT_FOCAL_PX if default else REFERENCE_WIDTH / 2 / math.tan(math.radians(fov or 0.0) / 2)
    fx = fy = focal  # in pixels of the reference, whose pixels are square
    aspect = width / height * REFERENCE_HEIGHT / REFERENCE_WIDTH
    if abs(math.log(aspect)) > _SQUARE:
        if default and width < height:
            fx = focal * height / width
        fy = fx * aspect
    return fx, fy, REFERENCE_WIDTH / 2, REFERENCE_HEIGHT / 2


def to_reference(
    path: Path, lenses: np.ndarray, size: tuple[int, int] | None, *, published: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return `lenses` [N, 4] of an image `size` (width, height) for 832×480, and notes on what was inferred.

    A `size` of None is inferred; `published` lenses belong to 832×480 where their principal point lies in it.
    Errors: UsageError with the row that is no lens.
    """
    import numpy as np

    notes: tuple[str, ...] = ()
    if size is None:
        size, notes = _infer_size(lenses, published=published)
    width, height = size
    scaled = lenses * np.tile([REFERENCE_WIDTH / width, REFERENCE_HEIGHT / height], 2)
    inside = (scaled[:, 2:] > 0).all(1) & (scaled[:, 2:] < [REFERENCE_WIDTH, REFERENCE_HEIGHT]).all(1)
    fov = np.degrees(2 * np.arctan(np.array([REFERENCE_WIDTH, REFERENCE_HEIGHT]) / 2 / scaled[:, :2]))
    good = (fov >= MIN_FOV_DEGREES).all(1) & (fov <= MAX_FOV_DEGREES).all(1)
    if inside.all() and good.all():
        return scaled, notes
    row = int(np.argmin(good if inside.all() else inside))
    problem = (
        f"field of view {fov[row, 0]:.1f}° across and {fov[row, 1]:.1f}° down; expected "
        f"{MIN_FOV_DEGREES:g}° to {MAX_FOV_DEGREES:g}°"
        if inside.all()
        else f"principal point ({lenses[row, 2]:g}, {lenses[row, 3]:g}) outside the image of {width}x{height}"
    )
    hint = "give the size of its images: intrinsics_size, or --intrinsics-size"
    raise UsageError(f"{path}, row {row}: {problem}", hint=hint)


def _infer_size(lenses: np.ndarray, *, published: bool) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Return the size of the images that lenses belong to, by their principal point, and a note on it."""
    import numpy as np

    if (lenses[:, 2:] < 1).all() and (lenses[:, :2] < _MAX_NORMALISED_FOCAL).all():
        return (1, 1), ("intrinsics are taken as shares of the image's width and height",)
    reference = np.array([REFERENCE_WIDTH, REFERENCE_HEIGHT])
    centre = np.median(lenses[:, 2:], axis=0)
    if (np.abs(centre / reference - 0.5) <= _OFF_CENTRE).all():
        return (REFERENCE_WIDTH, REFERENCE_HEIGHT), ()
    width, height = (max(1, round(2 * float(side))) for side in centre)
    if published and (centre < reference).all():
        note = (
            f"principal point ({centre[0]:g}, {centre[1]:g}) is far from the centre of 832x480; if the images are "
            f"of another size, give it: intrinsics_size: {width}x{height}"
        )
        return (REFERENCE_WIDTH, REFERENCE_HEIGHT), (note,)
    note = f"intrinsics are taken for images of {width}x{height}, twice their principal point"
    return (width, height), (note,)
