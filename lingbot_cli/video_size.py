"""Size of a video in pixels: parsed from text, or chosen for an image's aspect ratio."""

import math
import re
from collections.abc import Sequence

from lingbot_cli.errors import UsageError

_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
MAX_FRAMES = 1_000_000
"""Frames of the longest video, about 17 hours at 16 fps; a longer one is a stream."""
_SMALL_AREA = 100_000  # pixels, below which rounding to 16 changes the shape
_MIN_SHARE, MAX_SHARE = 0.7, 1.25  # of the area
MAX_ASPECT = 8
"""Longest side of a video over its shortest, where an image decides its shape."""


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of a size such as 832x480; UsageError unless both are multiples of 16."""
    sides = _SIZE.fullmatch(text.lower())
    if sides is None:
        raise UsageError(f"--size {text[:40]}: not a size", hint="use WIDTHxHEIGHT, for example 832x480")
    width, height = map(int, sides.groups())
    if width % 16 or height % 16 or not width or not height:
        near = "x".join(str(max(16, round(side / 16) * 16)) for side in (width, height))
        raise UsageError(
            f"--size {text}: width and height must be multiples of 16", hint=f"the nearest is {near}"
        )
    return height, width


def parse_image_size(text: str) -> tuple[int, int]:
    """Parse the size of images of another tool, such as 1920x1080 → width and height. Errors: ValueError."""
    width, height = map(int, sides.groups()) if (sides := _SIZE.fullmatch(text.lower())) else (0, 0)
    if not width or not height:
        raise ValueError(f"'{text[:40]}' is not a size; expected WIDTHxHEIGHT such as 1920x1080")
    return width, height


def check_image_size(text: str) -> str:
    """Return a text that is such a size. Errors: ValueError."""
    parse_image_size(text)
    return text


def fit_size(height: int, width: int, area: int) -> tuple[int, int]:
    """Return the height and width of a video with an image's aspect ratio and about `area` pixels.

    Multiples of 16 (model §8: the published rule, in whole pairs of latent cells; in small videos, where it would
    stretch the image by a third, the nearest shape of about the same area). Errors: UsageError for an image more than
    `MAX_ASPECT` times as long as wide, which would become a strip of any length.
    """
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise UsageError(
            f"the image is {width}x{height}, more than {MAX_ASPECT} times as long as wide",
            hint="crop it, or choose the part that is shown with --size, such as 832x480",
        )

    def side(square: float) -> int:
        # The small term keeps √230400 from falling just short of 480.
        return max(16, int(square**0.5 + 1e-6) // 16 * 16)

    rows, columns = side(area * height / width), side(area * width / height)
    if area >= _SMALL_AREA:
        return rows, columns
    shapes = [(rows + r, columns + c) for r in (-16, 0, 16) for c in (-16, 0, 16)]
    shapes = [(r, c) for r, c in shapes if min(r, c) > 0 and _MIN_SHARE <= r * c / area <= MAX_SHARE]
    shapes = shapes or [(rows, columns)]
    return min(shapes, key=lambda shape: (abs(stretch((height, width), shape)), -shape[0] * shape[1]))


def untrained_size_note(sizes: Sequence[str], height: int, width: int) -> str | None:
    """Return a note about a size at which a model of few sizes was not trained, else None; no sizes mean any."""
    size = f"{width}x{height}"
    if not sizes or size in sizes:
        return None
    known = " or ".join(filter(None, (", ".join(sizes[:-1]), sizes[-1])))
    return (
        f"this model was not trained at {size}: the video blurs or breaks into patterns; use --size {known}, and "
        "--output-size for a larger file"
    )


def stretch(image: tuple[int, int], video: tuple[int, int]) -> float:
    """Return the logarithm of an image's aspect ratio over a video's, both height and width: 0 for equal shapes."""
    return math.log(image[0] / image[1] * video[1] / video[0])
