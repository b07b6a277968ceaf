"""Animatic: a quick preview of the camera path in a grid space, without a model."""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lingbot_cli.drawing.space import build_space, draw_view
from lingbot_cli.fonts import choose_font
from lingbot_cli.image import crop_to_aspect
from lingbot_cli.sinks.overlay import Caption, caption_layer
from lingbot_cli.timeline.compile import CompiledTimeline, iter_controls

_PAPER, _INK = (208, 200, 184), (96, 90, 80)


def animatic_frames(
    compiled: CompiledTimeline, images: Mapping[Path | None, np.ndarray]
) -> Iterator[np.ndarray]:
    """Yield the video's frames, uint8 RGB [1, H, W, 3] each.

    `images` [H, W, 3] of the video's size: the first scene's under None, each cut's under its path.
    """
    for chunk, control in zip(compiled.chunks, iter_controls(compiled), strict=True):
        if chunk.start == chunk.scene_start:
            first = chunk.start
            space = build_space(images[control.cut], compiled.poses[first], compiled.intrinsics[first])
        for frame in range(chunk.start, chunk.start + control.frames):
            image = draw_view(space, compiled.poses[frame], compiled.intrinsics[frame])
            _draw_caption(image, Caption(compiled.keys[frame], control.prompt))
            _draw_time_code(image, frame, compiled.grid.fps)
            yield np.asarray(image)[None]


def placeholder_image(height: int, width: int, title: str) -> np.ndarray:
    """Return a plain image [H, W, 3] with a title, for a video without a first image."""
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    for share in (1 / 3, 2 / 3):
        draw.line((width * share, 0, width * share, height), fill=_INK)
        draw.line((0, height * share, width, height * share), fill=_INK)
    draw.rectangle((0, 0, width - 1, height - 1), outline=_INK, width=max(1, height // 80))
    title, font = choose_font(title, max(10, height // 12))
    draw.text((width / 2, height / 2), title, fill=_INK, anchor="mm", font=font)
    return np.asarray(image)


def fit_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Crop and resize an image [H, W, 3] to the video's size."""
    part = Image.fromarray(crop_to_aspect(image, height, width))
    return np.asarray(part.resize((width, height), Image.Resampling.BICUBIC))


@lru_cache(64)
def _caption_parts(
    caption: Caption, height: int, width: int
) -> list[tuple[Image.Image, Image.Image, tuple[int, int]]]:
    """Return the caption's parts at the top and the bottom: colour, mask and position."""
    colour, cover = caption_layer(caption, height, width)
    colours, covers = (
        Image.fromarray(colour.astype(np.uint8)),
        Image.fromarray(cover[..., 0].astype(np.uint8)),
    )
    parts = []
    for top, bottom in ((0, height // 2), (height // 2, height)):
        if box := covers.crop((0, top, width, bottom)).getbbox():
            left, upper, right, lower = box[0], box[1] + top, box[2], box[3] + top
            area = (left, upper, right, lower)
            parts.append((colours.crop(area), covers.crop(area), (left, upper)))
    return parts


def _draw_caption(image: Image.Image, caption: Caption) -> None:
    for colour, cover, where in _caption_parts(caption, image.height, image.width):
        image.paste(colour, where, cover)


@lru_cache(1)
def _time_code_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _draw_time_code(image: Image.Image, frame: int, fps: float) -> None:
    seconds = int(frame / fps)
    rest = frame - math.ceil(seconds * fps)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"
    size = max(10, image.height // 24)
    where = (image.width / 2, image.height - size)
    ImageDraw.Draw(image).text(where, text, fill=(255, 255, 255), anchor="mm", font=_time_code_font(size))
