"""Contact sheet: frames of one or more videos on one image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lingbot_cli.errors import UsageError
from lingbot_cli.fonts import choose_font
from lingbot_cli.sinks.formats import is_sequence
from lingbot_cli.videos.read import count_frames, read_frames

_GAP, _LABEL, _INK, _PAPER = 6, 16, (235, 235, 235), (24, 24, 24)
_MAX_TILES = 1000


@dataclass(frozen=True)
class Tile:
    """One frame on the sheet, uint8 [h, w, 3], and the label below it."""

    image: np.ndarray
    label: str


def sample_tiles(ffmpeg: str, video: Path, count: int, width: int) -> list[Tile]:
    """Return `count` frames, evenly spread from the first to the last; one alone is the middle one."""
    frames = count_frames(ffmpeg, video)
    count = min(count, frames)
    wanted = [frames // 2] if count == 1 else [round(i * (frames - 1) / (count - 1)) for i in range(count)]
    small = f"scale={width}:-2:flags=area"
    picked = {
        i: frame for i, frame in enumerate(read_frames(ffmpeg, video, filters=small)) if i in set(wanted)
    }
    name = video.parent.name if is_sequence(video.name) else video.stem
    return [Tile(picked[index], f"{name} · {index}") for index in wanted]


def draw_contact_sheet(tiles: Sequence[Tile], columns: int) -> Image.Image:
    """Draw tiles in rows of `columns`, each as high as its highest tile, with their labels below."""
    if not 0 < len(tiles) <= _MAX_TILES:
        raise UsageError(f"{len(tiles)} frames do not fit on a sheet", hint=f"use 1 to {_MAX_TILES}")
    wide = max(tile.image.shape[1] for tile in tiles) + _GAP
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    heights = [max(tile.image.shape[0] for tile in row) + _LABEL + _GAP for row in rows]
    drawn = Image.new("RGB", (_GAP + min(columns, len(tiles)) * wide, _GAP + sum(heights)), _PAPER)
    pen = ImageDraw.Draw(drawn)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        left, top = _GAP + column * wide, _GAP + sum(heights[:row])
        drawn.paste(Image.fromarray(tile.image), (left, top))
        label, font = choose_font(tile.label, 11)
        while len(label) > 1 and pen.textlength(label, font) > tile.image.shape[1]:
            label = label[1:]  # its end differs from its neighbours'
        pen.text((left, top + tile.image.shape[0] + 1), label, _INK, font)
    return drawn
