"""Moves, the published short form of a timeline: `--moves "w-10,iw-15,none-10"`, keys and video frames."""

from fractions import Fraction

from lingbot_cli.camera.keys import LETTERS
from lingbot_cli.timeline.diagnostics import FixedItem, Problems, SourceLocation, SourceText, TimelineError
from lingbot_cli.timeline.load import ParsedEvent, Timeline
from lingbot_cli.timeline.schema import KeysEvent, TimelineHeader
from lingbot_cli.timeline.times import Time, exact_fps
from lingbot_cli.video_size import MAX_FRAMES


def parse_moves(text: str) -> Timeline:
    """Parse moves into a timeline. Errors: TimelineError with the column of each problem."""
    source = SourceText("--moves", text)
    problems = Problems()
    parsed: list[ParsedEvent] = []
    column = 1
    for part in text.split(","):
        move = part.strip()
        location = SourceLocation(1, column + len(part) - len(part.lstrip()), max(1, len(move)))
        column += len(part) + 1
        name, dash, count = move.rpartition("-")
        keys = "" if name == "none" else name
        if not dash or not name or not (count.isascii() and count.isdigit()):
            message = f"'{move[:40]}' is not a move; expected keys-frames, as in w-10"
            problems.add(location, message)
        elif unknown := sorted(set(keys) - set(LETTERS)):
            letters = ", ".join(map(repr, unknown))
            message = f"unknown key letter {letters}; expected any of {' '.join(LETTERS)}, or none"
            problems.add(location, message)
        elif not 0 < (frames := int(count.lstrip("0")[:9] or "0")) <= MAX_FRAMES:  # any number of digits
            problems.add(location, f"{count[:20]} frames; expected 1 to {MAX_FRAMES}")
        else:
            event = KeysEvent.model_validate({"keys": keys, "for": Time(Fraction(frames), "f")})
            parsed.append(ParsedEvent(event, FixedItem(location)))
    if problems:
        raise TimelineError(source, problems)
    return Timeline(TimelineHeader(), tuple(parsed), source)


def format_moves(timeline: Timeline) -> str | None:
    """Return a timeline as moves; None unless it only holds keys for whole frames, one after the other."""
    moves = []
    for parsed in timeline.events:
        event = parsed.event
        if not isinstance(event, KeysEvent) or event.at or event.until or event.ease != "linear":
            return None
        span = event.span
        if span is None or span.unit == "c":
            return None
        frames = span.amount * (exact_fps(timeline.header.fps) if span.unit == "s" else 1)
        if frames.denominator != 1:
            return None
        moves.append(f"{event.keys or 'none'}-{frames}")
    return ",".join(moves)
