"""Every way a moment or a span may be written, and how it becomes frames."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

TIME_FORMS = "seconds (2 or 2s), 500ms, 32f (frames), 3c (chunks), MM:SS.s or HH:MM:SS.s"
# About 17 hours at 16 fps; a longer film is a stream.
MAX_FRAMES = 1_000_000
# Numbers beyond this are slips of the hand in any unit.
_MAX_AMOUNT = 10**7

_AMOUNT_PATTERN = re.compile(r"(\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})\s*(ms|s|f|c)?", re.ASCII)
_CLOCK_PATTERN = re.compile(r"(?:(\d{1,3}):)?(\d{1,4}):(\d{1,2}(?:\.\d{1,12})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Time:
    """An amount of seconds, video frames or chunks, kept exact."""

    amount: Fraction
    unit: Literal["s", "f", "c"] = "s"

    def __str__(self) -> str:
        number = int(self.amount) if self.amount.denominator == 1 else float(self.amount)
        return f"{number}{self.unit}"


def parse_time(value: object) -> Time:
    """A number of seconds or one of the texts of `FORMS` as a Time; ValueError says what is wrong with it."""
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
        raise ValueError(
            f"the time {str(value)[:40]} is too long; expected at most {MAX_FRAMES} frames in a film"
        )
    return _parse_text(format(value, "f")) if isinstance(value, float) else Time(Fraction(value))


@lru_cache(maxsize=1024)  # long timelines say the same few spans again and again
def _parse_text(text: str) -> Time:
    text = text.strip()
    if match := _AMOUNT_PATTERN.fullmatch(text):
        amount, unit = Fraction(match[1]), match[2] or "s"
        if amount > _MAX_AMOUNT:
            raise ValueError(f"the time '{text}' is too long; expected at most {MAX_FRAMES} frames in a film")
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
    if text.startswith("-") and (_AMOUNT_PATTERN.fullmatch(text[1:]) or _CLOCK_PATTERN.fullmatch(text[1:])):
        raise ValueError(f"a time cannot be negative ('{text}'); expected 0 or more")
    raise ValueError(f"'{text[:40]}' is not a time; expected {TIME_FORMS}")


_UNIT_NAMES = {"f": "frames", "c": "chunks"}


@dataclass(frozen=True)
class FrameGrid:
    """What a time is measured on: frames a second, and latent frames a chunk."""

    fps: int = 16
    chunk: int = 4

    def chunk_boundary(self, chunks: int) -> int:
        """The frame at which the first scene's `chunks` chunks are over; the first latent is one frame."""
        return max(0, 4 * self.chunk * chunks - 3)

    def to_frames(self, time: Time) -> Fraction:
        """A moment since the film began, in frames."""
        if time.unit == "c":
            return Fraction(self.chunk_boundary(int(time.amount)))
        return time.amount * (self.fps if time.unit == "s" else 1)

    def span_end(self, start: Fraction, time: Time) -> Fraction:
        """The moment a span later than `start`, both in frames; k chunks end k boundaries later."""
        if time.unit != "c":
            return start + self.to_frames(time)
        begun = int((start + 3) // (4 * self.chunk))
        return start + self.chunk_boundary(begun + int(time.amount)) - self.chunk_boundary(begun)

    def seconds(self, frame: int) -> float:
        """When a frame is shown, in seconds since the film began."""
        return frame / self.fps


def format_clock(seconds: float) -> str:
    """Seconds as people write them: `4.5s` below a minute, `2:03.0` and `1:02:03.0` above."""
    if seconds < 60:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
