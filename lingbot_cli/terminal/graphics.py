"""Terminal graphics: draw a frame with half-blocks, the kitty protocol or sixels."""

import base64
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

Draw = Callable[[np.ndarray, int, int], str]
"""(frame [H, W, 3] uint8, columns, rows) → text that shows the frame in the top left corner."""

HOME = "\x1b[H"
CELL_PIXELS = 20, 10  # assumed height and width of a character
MAX_PAYLOAD_CHARACTERS = 4096  # base64 in one kitty command
PALETTE_COLOURS = 128


def half_blocks(frame: np.ndarray, columns: int, rows: int) -> str:
    """Draw two pixels a character in true colour: the upper in the foreground, the lower in the background."""
    height, width = scale_to_fit(frame, 2 * rows, columns)
    height -= height % 2
    pixels = resize(frame, max(2, height), width)
    lines = []
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        line, before = [], None
        for foreground, background in zip(upper, lower, strict=True):
            if (foreground, background) != before:
                line.append("\x1b[38;2;{};{};{};48;2;{};{};{}m".format(*foreground, *background))
                before = foreground, background
            line.append("▀")
        lines.append("".join(line) + "\x1b[0m\x1b[K")
    return HOME + "\r\n".join(lines)


def kitty(frame: np.ndarray, columns: int, rows: int) -> str:
    """Draw with the kitty graphics protocol; each frame replaces the last, as both have the same image id."""
    height, width = scale_to_fit(frame, CELL_PIXELS[0] * rows, CELL_PIXELS[1] * columns)
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
    """Draw with sixels in a palette of the frame; a band has six rows of pixels."""
    height, width = scale_to_fit(frame, CELL_PIXELS[0] * rows, CELL_PIXELS[1] * columns)
    image = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR)
    reduced = image.quantize(PALETTE_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array(reduced.getpalette() or [], np.float64).reshape(-1, 3)
    indices = np.asarray(reduced)
    out = [HOME, f'\x1bP0;1q"1;1;{width};{height}']
    for number in np.unique(indices).tolist():
        red, green, blue = np.round(palette[number] * (100 / 255)).astype(int).tolist()
        out.append(f"#{number};2;{red};{green};{blue}")
    for top in range(0, height, 6):
        band = indices[top : top + 6]
        bits = 1 << np.arange(len(band))[:, None]
        for number in np.unique(band).tolist():
            out.append(f"#{number}{_run_length(((band == number) * bits).sum(0))}$")
        out.append("-")
    return "".join(out) + "\x1b\\"


def _run_length(values: np.ndarray) -> str:
    edges = np.flatnonzero(np.diff(values)) + 1
    starts = np.concatenate([[0], edges])
    counts = np.diff(np.concatenate([starts, [len(values)]]))
    characters = [chr(63 + value) for value in values[starts].tolist()]
    return "".join(
        f"!{count}{character}" if count > 3 else character * count
        for character, count in zip(characters, counts.tolist(), strict=True)
    )


def scale_to_fit(frame: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """Return the largest height and width with the frame's aspect ratio within these."""
    factor = min(height / frame.shape[0], width / frame.shape[1])
    return max(1, int(frame.shape[0] * factor)), max(1, int(frame.shape[1] * factor))


def resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))


DRAW: dict[str, Draw] = {"blocks": half_blocks, "kitty": kitty, "sixel": sixel}
