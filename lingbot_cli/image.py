"""Pictures from cameras and the web, read as plain RGB."""

import struct
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lingbot_cli.errors import UsageError

MAX_PIXELS = 200_000_000
"""More than any phone's picture; less than fills a machine's memory."""

MAX_STRETCH = 0.15
"""How far (as a logarithm of the ratio) a picture's shape may be from the film's before it is cropped."""

_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error)
"""What Pillow raises when a picture's bytes make no sense."""

_HINT = "use a PNG, JPEG or WebP picture"


def read_image(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    formats: tuple[str, ...] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Return the picture at `source`, upright and on white, uint8 RGB [H, W, 3]; UsageError if it is none.

    `name` is what errors call it; `formats` are Pillow's names of those that are read, None for all.
    """
    name = name or str(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures and damaged notes
            with Image.open(source, formats=formats) as opened:
                if opened.width * opened.height > max_pixels:
                    raise UsageError(
                        f"{name}: {opened.width}x{opened.height} pixels are too many",
                        hint=f"make it smaller than {max_pixels // 1_000_000} million pixels first",
                    )
                return _rgb(_upright(opened))
    except FileNotFoundError as failure:
        raise UsageError(f"{name}: no such file") from failure
    except IsADirectoryError as failure:
        raise UsageError(f"{name} is a folder, not a picture", hint=_HINT) from failure
    except UnidentifiedImageError as failure:
        raise UsageError(f"{name} is not a picture", hint=_HINT) from failure
    except (*_DAMAGED, Image.DecompressionBombError) as failure:
        raise UsageError(f"{name}: the picture cannot be read: {failure}", hint=_HINT) from failure


def _upright(image: Image.Image) -> Image.Image:
    """A picture turned as its camera was held; as it lies where that note is damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except _DAMAGED:
        return image


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image, np.float64)
        # 16-bit files come as integers up to 65535; pillow's own conversion would clip them to 255.
        top = 65535 if image.mode != "F" or grey.max(initial=0) > 255 else 255
        return np.repeat((grey.clip(0, top) * (255 / top)).round().astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def fit_size(height: int, width: int, area: int) -> tuple[int, int]:
    """Return the film's height and width for a picture's aspect and a number of pixels.

    Multiples of 16 (model §8: the published rule, in whole pairs of latent cells).
    """

    def side(square: float) -> int:
        # A hair is added so that √230400 is never a hair less than 480.
        return max(16, int(square**0.5 + 1e-6) // 16 * 16)

    return side(area * height / width), side(area * width / height)


def crop_to_aspect(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the part of a picture [H, W, 3] that a film of another shape shows, no larger than it needs.

    The middle is kept where the shapes differ by more than the rounding to whole cells; a picture more than
    twice the film's size is averaged down first, since the published resize skips pixels.
    """
    rows, columns = image.shape[:2]
    if abs(np.log(rows / columns * width / height)) > MAX_STRETCH:
        keep_rows, keep_columns = min(rows, columns * height / width), min(columns, rows * width / height)
        top, left = int((rows - keep_rows) / 2), int((columns - keep_columns) / 2)
        image = image[top : top + max(1, round(keep_rows)), left : left + max(1, round(keep_columns))]
    factor = min(image.shape[0] // height, image.shape[1] // width)
    if factor < 2:
        return image
    return np.array(Image.fromarray(image).reduce(factor))


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of a size such as 832x480; UsageError unless both are multiples of 16."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise UsageError(f"--size {text}: not a size", hint="write WIDTHxHEIGHT, for example 832x480")
    width, height = int(parts[0]), int(parts[1])
    if width % 16 or height % 16 or not width or not height:
        near = "x".join(str(max(16, round(side / 16) * 16)) for side in (width, height))
        raise UsageError(
            f"--size {text}: width and height must be multiples of 16", hint=f"the nearest is {near}"
        )
    return height, width
