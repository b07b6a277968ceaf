"""Fonts for text on images: a font of this machine with the text's letters, or a plain replacement."""

import unicodedata
from functools import lru_cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Pillow's own, which has plain Latin only, then common fonts of systems.
_FONT_FILES = (
    "",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "Arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "PingFang.ttc",
    "msyh.ttc",
    "Arial Unicode.ttf",
)
_UNDEFINED_CHARACTER = "\U0010ffff"


def choose_font(text: str, size: int) -> tuple[str, Font]:
    """Return the text and a font of `size` pixels that has its letters.

    A letter that no font on this machine has loses its accents, or becomes a question mark.
    """
    fonts = (font for file in _FONT_FILES if (font := _open(file, size)) is not None)
    font = next((font for font in fonts if _has_glyphs(font, text)), None)
    if font is not None:
        return text, font
    plain = ImageFont.load_default(size)
    spread = unicodedata.normalize("NFKD", text)
    known = "".join(letter for letter in spread if not unicodedata.combining(letter))
    return "".join(letter if _has_glyphs(plain, letter) else "?" for letter in known), plain


@lru_cache(32)
def _open(file: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
    except OSError:
        return None


def _has_glyphs(font: Font, text: str) -> bool:
    missing = bytes(font.getmask(_UNDEFINED_CHARACTER))
    return all(bytes(font.getmask(letter)) != missing for letter in set(text) if not letter.isspace())
