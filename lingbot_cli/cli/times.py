"""Times given as options."""

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.times import Time, parse_time


def time_option(option: str, text: str | None) -> Time | None:
    """The time an option says, None when it is left out."""
    try:
        return None if text is None else parse_time(text)
    except ValueError as wrong:
        raise UsageError(f"{option} {text}: {wrong}") from wrong


def seconds_option(option: str, text: str | None) -> float | None:
    """The seconds an option says; frames and chunks are none."""
    time = time_option(option, text)
    if time is None:
        return None
    if time.unit != "s" or not time.amount:
        raise UsageError(f"{option} {text}: not a length of time", hint="write 90s, 30:00 or 1:30:00")
    return float(time.amount)
