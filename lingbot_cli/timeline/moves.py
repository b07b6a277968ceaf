"""The published short form: `--moves "w-10,iw-15,none-10"`, keys and video frames."""

from fractions import Fraction

from lingbot_cli.camera.keys import LETTERS
from lingbot_cli.timeline.diagnostics import (
    FixedItem,
    Problem,
    Problems,
    SourceLocation,
    SourceText,
    TimelineError,
)
from lingbot_cli.timeline.load import ParsedEvent, Timeline
from lingbot_cli.timeline.schema import KeysEvent, TimelineHeader
from lingbot_cli.timeline.times import MAX_FRAMES, Time


def parse_moves(text: str) -> Timeline:
    """A timeline of the moves in `text`; TimelineError names the column of each that is wrong."""
    source = SourceText("--moves", text)
    problems = Problems()
    said: list[ParsedEvent] = []
    column = 1
    for part in text.split(","):
        place = SourceLocation(1, column + len(part) - len(part.lstrip()), max(1, len(part.strip())))
        column += len(part) + 1
        keys, dash, count = part.strip().rpartition("-")
        held = "" if keys == "none" else keys
        if not dash or not keys or not (count.isascii() and count.isdigit()):
            problems.append(
                Problem(place, f"'{part.strip()[:40]}' is not a move; expected keys-frames, as in w-10")
            )
        elif unknown := sorted(set(held) - set(LETTERS)):
            named = ", ".join(map(repr, unknown))
            message = f"unknown key letter {named}; expected any of {' '.join(LETTERS)}, or none"
            problems.append(Problem(place, message))
        elif not 0 < int(count[:9]) <= MAX_FRAMES:
            problems.append(Problem(place, f"{count[:20]} frames; expected 1 to {MAX_FRAMES}"))
        else:
            event = KeysEvent.model_validate({"keys": held, "for": Time(Fraction(count), "f")})
            said.append(ParsedEvent(event, FixedItem(place)))
    if problems:
        raise TimelineError(source, problems)
    return Timeline(TimelineHeader(), tuple(said), source)


def format_moves(timeline: Timeline) -> str | None:
    """The short form of a timeline that says nothing else than keys held for frames one after the other."""
    parts = []
    for said in timeline.events:
        event = said.event
        if (
            not isinstance(event, KeysEvent)
            or event.at
            or event.until
            or event.span is None
            or event.ease != "linear"
        ):
            return None
        frames = event.span.amount * (timeline.header.fps if event.span.unit == "s" else 1)
        if event.span.unit == "c" or frames.denominator != 1:
            return None
        parts.append(f"{event.keys or 'none'}-{frames}")
    return ",".join(parts)
