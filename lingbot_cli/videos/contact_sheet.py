"""A contact sheet: frames of one film or of many on one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lingbot_cli.errors import UsageError
from lingbot_cli.fonts import choose_font
from lingbot_cli.videos.read import count_frames, read_frames

_GAP, _LABEL, _INK, _PAPER = 6, 16, (235, 235, 235), (24, 24, 24)
_MAX_TILES = 1000


@dataclass(frozen=True)
class Tile:
    """One frame on the sheet, uint8 [h, w, 3], and what is written below it."""

    image: np.ndarray
    label: str


def sample_tiles(ffmpeg: str, film: Path, count: int, width: int) -> list[Tile]:
    """`count` frames of a film spread evenly from its first to its last; one alone is the middle one."""
    frames = count_frames(ffmpeg, film)
    count = min(count, frames)
    wanted = [frames // 2] if count == 1 else [round(i * (frames - 1) / (count - 1)) for i in range(count)]
    small = f"scale={width}:-2:flags=area"
    picked = {
        i: frame for i, frame in enumerate(read_frames(ffmpeg, film, filters=small)) if i in set(wanted)
    }
    name = film.parent.name if "%" in film.name else film.stem
    return [Tile(picked[index], f"{name} · {index}") for index in wanted]


def draw_contact_sheet(tiles: Sequence[Tile], columns: int) -> Image.Image:
    """Tiles in rows of `columns`, each under its own size, with their labels."""
    if not 0 < len(tiles) <= _MAX_TILES:
        raise UsageError(f"{len(tiles)} pictures do not fit a sheet", hint=f"ask for 1 to {_MAX_TILES}")
    wide = max(tile.image.shape[1] for tile in tiles) + _GAP
    high = max(tile.image.shape[0] for tile in tiles) + _LABEL + _GAP
    rows = -(-len(tiles) // columns)
    drawn = Image.new("RGB", (_GAP + min(columns, len(tiles)) * wide, _GAP + rows * high), _PAPER)
    pen = ImageDraw.Draw(drawn)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        left, top = _GAP + column * wide, _GAP + row * high
        drawn.paste(Image.fromarray(tile.image), (left, top))
        label, font = choose_font(tile.label, 11)
        while len(label) > 1 and pen.textlength(label, font) > tile.image.shape[1]:
            label = label[1:]  # its end tells it from its neighbours
        pen.text((left, top + tile.image.shape[0] + 1), label, _INK, font)
    return drawn
