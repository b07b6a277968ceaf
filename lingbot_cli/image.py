"""Image files read as plain RGB, and cropped to a video's shape."""

import math
import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from lingbot_cli.errors import UsageError
from lingbot_cli.files import is_descriptor
from lingbot_cli.video_size import stretch

MAX_PIXELS = 200_000_000
"""More than any phone's image; less than fills a machine's memory."""

MAX_STRETCH = 0.15
"""Largest difference of aspect ratio, as a logarithm, that is not cropped."""

_SAID_STRETCH = 0.03

_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error)
"""Exceptions of Pillow for damaged files."""

_HINT = "use a PNG, JPEG or WebP image"
_HEIF_HINT = "pip install 'lingbot[heif]', or convert the image to JPEG"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


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
            if isinstance(source, Path) and formats is None and _is_heif(source):
                _register_heif(name)
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


def _is_heif(path: Path) -> bool:
    """Return whether a file begins as HEIC and HEIF images do; a pipe is not read."""
    if not path.is_file() or is_descriptor(path):
        return False
    with path.open("rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS


def _register_heif(name: str) -> None:
    """Let Pillow read HEIC. Errors: UsageError without pillow-heif."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError as failure:
        raise UsageError(f"{name} is a HEIC image, which needs pillow-heif", hint=_HEIF_HINT) from failure
    register_heif_opener()


def _upright(image: Image.Image) -> Image.Image:
    """Return an image turned by its EXIF orientation; unturned where that is damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except _DAMAGED:
        return image


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
        # 16-bit files are integers up to 65535; Pillow's own conversion would clip them to 255.
        top = _float_top(grey) if image.mode == "F" else 65535
        return np.repeat((grey.clip(0, top) * (255 / top)).round().astype(np.uint8)[..., None], 3, axis=2)
    image = _srgb(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _float_top(grey: np.ndarray) -> int:
    """Return the value of white in floating-point pixels: 1, 255 or 65535, the least that none exceeds."""
    return next((top for top in (1, 255) if grey.max(initial=0) <= top), 65535)


def _srgb(image: Image.Image) -> Image.Image:
    """Return an image converted from its embedded colour profile, as it is without one or with a damaged one."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    colours = image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        converted = ImageCms.profileToProfile(
            colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, *_DAMAGED):
        return image
    if converted is None:
        return image
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def stretch_note(image: np.ndarray, height: int, width: int) -> str | None:
    """Return a note about an image that a video of `height`×`width` shows stretched by more than 3 %, else None."""
    change = abs(stretch((image.shape[0], image.shape[1]), (height, width)))
    if not _SAID_STRETCH < change <= MAX_STRETCH:
        return None
    size, percent = f"{image.shape[1]}x{image.shape[0]}", f"{math.expm1(change):.0%}"
    return f"the image of {size} is stretched by {percent} to {width}x{height}; crop it to keep its shape"


def crop_to_aspect(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the part of an image [H, W, 3] that a video of `height`×`width` shows, no larger than it needs.

    The middle remains where the shapes differ by more than the rounding to whole cells; an image more than
    twice the video's size is averaged down first, since the published resize skips pixels.
    """
    rows, columns = image.shape[:2]
    if abs(stretch((rows, columns), (height, width))) > MAX_STRETCH:
        keep_rows, keep_columns = min(rows, columns * height / width), min(columns, rows * width / height)
        top, left = int((rows - keep_rows) / 2), int((columns - keep_columns) / 2)
        image = image[top : top + max(1, round(keep_rows)), left : left + max(1, round(keep_columns))]
    factor = min(image.shape[0] // height, image.shape[1] // width)
    if factor < 2:
        return image
    return np.array(Image.fromarray(image).reduce(factor))
