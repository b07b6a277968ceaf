"""One frame as what a terminal shows: half-blocks everywhere, pixels where it can."""

import base64
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

Draw = Callable[[np.ndarray, int, int], str]
"""A frame [H, W, 3] uint8, the columns and rows there are → the text that shows it from the top left corner."""

HOME = "\x1b[H"
CELL_PIXELS = 20, 10  # pixels of a usual character, for terminals that do not say
MAX_PAYLOAD_CHARACTERS = 4096  # characters of base64 a kitty command may carry
PALETTE_COLOURS = 128


def half_blocks(frame: np.ndarray, columns: int, rows: int) -> str:
    """Two pixels a character, the upper as its ink and the lower as its ground, in true colour."""
    height, width = fit_size(frame, 2 * rows, columns)
    height -= height % 2
    pixels = resize(frame, max(2, height), width)
    lines = []
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        line, before = [], None
        for ink, ground in zip(upper, lower, strict=True):
            if (ink, ground) != before:
                line.append("\x1b[38;2;{};{};{};48;2;{};{};{}m".format(*ink, *ground))
                before = ink, ground
            line.append("▀")
        lines.append("".join(line) + "\x1b[0m\x1b[K")
    return HOME + "\r\n".join(lines)


def kitty(frame: np.ndarray, columns: int, rows: int) -> str:
    """The kitty graphics protocol: the same picture number again and again, so nothing piles up."""
    height, width = fit_size(frame, CELL_PIXELS[0] * rows, CELL_PIXELS[1] * columns)
    shape = f"c={max(1, round(width / CELL_PIXELS[1]))},r={max(1, round(height / CELL_PIXELS[0]))}"
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(frame).tobytes(), 1)).decode()
    pieces = [data[at : at + MAX_PAYLOAD_CHARACTERS] for at in range(0, len(data), MAX_PAYLOAD_CHARACTERS)]
    size = f"s={frame.shape[1]},v={frame.shape[0]}"
    out = [HOME]
    for number, piece in enumerate(pieces):
        head = f"a=T,f=24,o=z,i=1,p=1,q=2,C=1,{size},{shape}," if number == 0 else "q=2,"
        out.append(f"\x1b_G{head}m={int(number < len(pieces) - 1)};{piece}\x1b\\")
    return "".join(out)


def sixel(frame: np.ndarray, columns: int, rows: int) -> str:
    """Sixels of a palette of the frame's own; six rows of pixels a band."""
    height, width = fit_size(frame, CELL_PIXELS[0] * rows, CELL_PIXELS[1] * columns)
    image = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR)
    reduced = image.quantize(PALETTE_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array(reduced.getpalette() or [], np.float64).reshape(-1, 3)
    picks = np.asarray(reduced)
    out = [HOME, f'\x1bP0;1q"1;1;{width};{height}']
    for number in np.unique(picks).tolist():
        red, green, blue = np.round(palette[number] * (100 / 255)).astype(int).tolist()
        out.append(f"#{number};2;{red};{green};{blue}")
    for top in range(0, height, 6):
        band = picks[top : top + 6]
        bits = 1 << np.arange(len(band))[:, None]
        for number in np.unique(band).tolist():
            out.append(f"#{number}{_run_length(((band == number) * bits).sum(0))}$")
        out.append("-")
    return "".join(out) + "\x1b\\"


def _run_length(values: np.ndarray) -> str:
    """A band's column values as sixel characters, repeats written as counts."""
    edges = np.flatnonzero(np.diff(values)) + 1
    starts = np.concatenate([[0], edges])
    counts = np.diff(np.concatenate([starts, [len(values)]]))
    characters = [chr(63 + value) for value in values[starts].tolist()]
    return "".join(
        f"!{count}{character}" if count > 3 else character * count
        for character, count in zip(characters, counts.tolist(), strict=True)
    )


def fit_size(frame: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """The largest height and width of a frame's shape within these."""
    share = min(height / frame.shape[0], width / frame.shape[1])
    return max(1, int(frame.shape[0] * share)), max(1, int(frame.shape[1] * share))


def resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """A frame at another size."""
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))


DRAW: dict[str, Draw] = {"blocks": half_blocks, "kitty": kitty, "sixel": sixel}
