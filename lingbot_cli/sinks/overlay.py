"""Sink that draws the pressed keys and the prompt on each frame and passes it on."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lingbot_cli.fonts import choose_font
from lingbot_cli.sinks.base import FilterSink, Sink, VideoInfo

# Position of each key, in key widths from the left or (negative) from the right, and from the bottom.
_KEYS = {
    "q": (0, 2),
    "w": (1, 2),
    "e": (2, 2),
    "a": (0, 1),
    "s": (1, 1),
    "d": (2, 1),
    "i": (-2, 2),
    "j": (-3, 1),
    "k": (-2, 1),
    "l": (-1, 1),
}
_MIN_HEIGHT = 360  # pixels below which a copy is enlarged to stay readable
_CACHED_LAYERS = 64


@dataclass(frozen=True)
class Caption:
    """Text of one frame: the letters of the pressed keys, and the prompt."""

    keys: str
    prompt: str


class OverlaySink(FilterSink):
    """Sink that passes frames with captions to `sink`; `enlarge` makes small videos large enough to read."""

    def __init__(self, sink: Sink, captions: Sequence[Caption], *, enlarge: bool) -> None:
        super().__init__(sink)
        self._captions = captions
        self._enlarge = enlarge
        self._scale = 1

    def _changed(self, video: VideoInfo) -> VideoInfo:
        self._scale = -(-_MIN_HEIGHT // video.height) if self._enlarge and video.height < _MIN_HEIGHT else 1
        height, width = video.height * self._scale, video.width * self._scale
        return replace(video, height=height, width=width, variant=f"{video.variant} with captions")

    def write(self, frames: np.ndarray) -> None:
        large = frames.repeat(self._scale, axis=1).repeat(self._scale, axis=2)
        for frame in large:
            caption = self._captions[min(self._frame, len(self._captions) - 1)]
            colour, alpha = caption_layer(caption, frame.shape[0], frame.shape[1])
            frame[:] = (frame * (255 - alpha) + colour * alpha) // 255
            self._frame += 1
        self._sink.write(large)


@lru_cache(_CACHED_LAYERS)
def caption_layer(caption: Caption, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the colour, uint16 [H, W, 3], and the alpha, uint16 [H, W, 1], of a caption; both 0 to 255."""
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    side = max(8, min(height // 9, width // 8))
    for key, (column, row) in _KEYS.items():
        left = side // 3 + column * side if column >= 0 else width - side // 3 + column * side
        top = height - side // 3 - row * side
        _draw_key(draw, key, (left, top), side, pressed=key in caption.keys)
    if caption.prompt:
        _draw_prompt(draw, caption.prompt, height, width)
    rgba = np.asarray(image, np.uint16)
    return rgba[..., :3], rgba[..., 3:]


def _draw_key(
    draw: ImageDraw.ImageDraw, key: str, corner: tuple[int, int], side: int, *, pressed: bool
) -> None:
    left, top = corner
    box = (left + 1, top + 1, left + side - 2, top + side - 2)
    fill = (255, 255, 255, 230 if pressed else 50)
    draw.rounded_rectangle(box, side // 5, fill=fill, outline=(255, 255, 255, 160))
    middle = (left + side / 2, top + side / 2)
    letter = (20, 20, 20, 255) if pressed else (255, 255, 255, 200)
    draw.text(middle, key.upper(), fill=letter, anchor="mm", font=ImageFont.load_default(side * 0.55))


def _draw_prompt(draw: ImageDraw.ImageDraw, prompt: str, height: int, width: int) -> None:
    size = max(8, height // 22)
    prompt, font = choose_font(prompt, size)
    letters = max(8, int(width * 0.94 / font.getlength("n")))
    text = "\n".join(textwrap.wrap(prompt, letters, max_lines=2, placeholder=" …"))
    box = draw.multiline_textbbox((width * 0.03, size * 0.5), text, font=font)
    draw.rectangle((0, 0, width, box[3] + size * 0.5), fill=(0, 0, 0, 130))
    draw.multiline_text((width * 0.03, size * 0.5), text, fill=(255, 255, 255, 255), font=font)
