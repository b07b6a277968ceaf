"""Frame rates as people write them: whole numbers, decimals such as 29.97, and fractions such as 30000/1001."""

import re
from fractions import Fraction

MAX_FPS = 120
FPS_FORMS = f"1 to {MAX_FPS} frames per second, such as 16, 29.97 or 30000/1001"
_TEXT = re.compile(r"\s*(\d{1,7}(?:\.\d{1,16})?|\d{1,7}/\d{1,7})\s*", re.ASCII)
_NTSC = [Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120)]
_ROUNDING = Fraction(5, 1000)  # of what people write for a rate of NTSC
_MAX_DENOMINATOR = 1001

FPS_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 1, "maximum": MAX_FPS},
        {"type": "string", "pattern": rf"^{_TEXT.pattern}$"},
    ]
}


def parse_fps(value: object) -> float:
    """Return a frame rate, an int if it is whole. Errors: ValueError, as `problem; expected …`."""
    match = _TEXT.fullmatch(str(value)) if not isinstance(value, bool) else None
    if match is None or match[1].endswith("/0"):
        raise ValueError(f"'{str(value)[:40]}' is no frame rate; expected {FPS_FORMS}")
    rate = Fraction(match[1])
    if not 1 <= rate <= MAX_FPS:
        raise ValueError(f"{str(value)[:40]} is out of range; expected {FPS_FORMS}")
    if rate.denominator == 1:
        return int(rate)
    return float(next((ntsc for ntsc in _NTSC if abs(ntsc - rate) < _ROUNDING), rate))


def exact_fps(fps: float) -> Fraction:
    """Return a frame rate as a fraction."""
    return Fraction(fps).limit_denominator(_MAX_DENOMINATOR)


def format_fps(fps: float) -> str:
    """Format a frame rate: 16, 29.97."""
    return f"{fps:.5g}"
