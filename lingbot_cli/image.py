"""Image files read as plain RGB, and cropped to a video's shape."""

import struct
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lingbot_cli.errors import UsageError

MAX_PIXELS = 200_000_000
"""More than any phone's image; less than fills a machine's memory."""

MAX_STRETCH = 0.15
"""Largest difference of aspect ratio, as a logarithm, that is not cropped."""

_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error)
"""Exceptions of Pillow for damaged files."""

_HINT = "use a PNG, JPEG or WebP image"


def read_image(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    formats: tuple[str, ...] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Return the image at `source`, upright and on white, uint8 RGB [H, W, 3]. Errors: UsageError.

    Errors call it `name`; `formats` are Pillow's names of the accepted formats, None for all.
    """
    name = name or str(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images and damaged metadata
            with Image.open(source, formats=formats) as opened:
                if opened.width * opened.height > max_pixels:
                    raise UsageError(
                        f"{name}: too many pixels ({opened.width}x{opened.height})",
                        hint=f"use an image of at most {max_pixels // 1_000_000} million pixels",
                    )
                return _rgb(_upright(opened))
    except FileNotFoundError as failure:
        raise UsageError(f"{name}: no such file") from failure
    except IsADirectoryError as failure:
        raise UsageError(f"{name} is a folder, not an image", hint=_HINT) from failure
    except UnidentifiedImageError as failure:
        raise UsageError(f"{name} is not an image", hint=_HINT) from failure
    except (*_DAMAGED, Image.DecompressionBombError) as failure:
        raise UsageError(f"{name}: the image cannot be read: {failure}", hint=_HINT) from failure


def _upright(image: Image.Image) -> Image.Image:
    """Return an image turned by its EXIF orientation; unturned where that is damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except _DAMAGED:
        return image


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image, np.float64)
        # 16-bit files are integers up to 65535; Pillow's own conversion would clip them to 255.
        top = 65535 if image.mode != "F" or grey.max(initial=0) > 255 else 255
        return np.repeat((grey.clip(0, top) * (255 / top)).round().astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def crop_to_aspect(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the part of an image [H, W, 3] that a video of `height`×`width` shows, no larger than it needs.

    The middle remains where the shapes differ by more than the rounding to whole cells; an image more than
    twice the video's size is averaged down first, since the published resize skips pixels.
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
