"""Times and frame rates as a timeline writes them: seconds, frames, chunks, clock notation; 29.97, 30000/1001."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from lingbot_cli.video_size import MAX_FRAMES

TIME_FORMS = "seconds (2 or 2s), 500ms, 1m30s, 32f (frames), 3c (chunks), MM:SS.s or HH:MM:SS.s"
# Larger numbers are slips in any unit.
_MAX_AMOUNT = 10**7

_AMOUNT_PATTERN = re.compile(r"(\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})\s*(ms|s|f|c)?", re.ASCII)
_CLOCK_PATTERN = re.compile(r"(?:(\d{1,3}):)?(\d{1,4}):(\d{1,2}(?:\.\d{1,12})?)", re.ASCII)
_UNITS_PATTERN = re.compile(
    r"(?:(\d{1,4})\s*h\s*)?(?:(\d{1,5})\s*m(?:in)?\s*)?(?:(\d{1,7}(?:\.\d{1,12})?)\s*s)?", re.ASCII
)
_UNIT_NAMES = {"f": "frames", "c": "chunks"}
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


@dataclass(frozen=True, slots=True)
class Time:
    """An exact amount of seconds, video frames or chunks."""

    amount: Fraction
    unit: Literal["s", "f", "c"] = "s"

    def __str__(self) -> str:
        number = int(self.amount) if self.amount.denominator == 1 else float(self.amount)
        return f"{number}{self.unit}"


def parse_time(value: object) -> Time:
    """Parse a number of seconds or one of `TIME_FORMS`. Errors: ValueError, as `problem; expected …`."""
    if isinstance(value, Time):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"not a time; expected {TIME_FORMS}")
    if isinstance(value, str):
        return _parse_text(value)
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"{value} is not a time; expected a finite number of seconds")
    if value < 0:
        raise ValueError(f"a time cannot be negative ({str(value)[:40]}); expected 0 or more")
    if value > _MAX_AMOUNT:
        raise _too_long(str(value)[:40])
    return _parse_text(format(value, "f")) if isinstance(value, float) else Time(Fraction(value))


@lru_cache(maxsize=1024)  # long timelines repeat the same few spans
def _parse_text(text: str) -> Time:
    text = text.strip()
    if match := _AMOUNT_PATTERN.fullmatch(text):
        amount, unit = Fraction(match[1]), match[2] or "s"
        if amount > _MAX_AMOUNT:
            raise _too_long(f"'{text}'")
        if unit == "ms":
            return Time(amount / 1000)
        if unit in "fc" and amount.denominator != 1:
            raise ValueError(f"'{text}' is not whole; expected a whole number of {_UNIT_NAMES[unit]}")
        return Time(amount, unit)  # type: ignore[arg-type]  # the pattern allows only these
    if match := _CLOCK_PATTERN.fullmatch(text):
        hours, minutes, seconds = match[1], int(match[2]), Fraction(match[3])
        if seconds >= 60 or (hours and minutes >= 60):
            raise ValueError(f"'{text}' has more than 59 minutes or seconds; expected MM:SS.s or HH:MM:SS.s")
        return Time(int(hours or 0) * 3600 + minutes * 60 + seconds)
    if text and (match := _UNITS_PATTERN.fullmatch(text)):
        units = [Fraction(part or 0) for part in match.groups()]
        if (match[1] and units[1] >= 60) or ((match[1] or match[2]) and units[2] >= 60):
            raise ValueError(
                f"'{text}' has more than 59 minutes or seconds; expected a time such as 1h05m30s"
            )
        amount = units[0] * 3600 + units[1] * 60 + units[2]
        if amount > _MAX_AMOUNT:
            raise _too_long(f"'{text}'")
        return Time(amount)
    if text.startswith("-") and (_AMOUNT_PATTERN.fullmatch(text[1:]) or _CLOCK_PATTERN.fullmatch(text[1:])):
        raise ValueError(f"a time cannot be negative ('{text}'); expected 0 or more")
    raise ValueError(f"'{text[:40]}' is not a time; expected {TIME_FORMS}")


def _too_long(shown: str) -> ValueError:
    return ValueError(f"the time {shown} is too long; expected at most {MAX_FRAMES} frames in a video")


def format_clock(seconds: float) -> str:
    """Format seconds as `4.5s` below a minute, `2:03.0` and `1:02:03.0` above."""
    if seconds < 60:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


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
