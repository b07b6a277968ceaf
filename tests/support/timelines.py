"""Timelines written inside tests."""

from pathlib import Path

from lingbot_cli.timeline.compile import Track, compile_track
from lingbot_cli.timeline.diagnostics import Problem, Source
from lingbot_cli.timeline.load import Timeline, read
from lingbot_cli.timeline.schedule import Schedule, attempt, schedule


def wrong(text: str, name: str = "t.yaml", folder: Path = Path(), chunk: int = 4) -> list[Problem]:
    """Every problem in a text, in the order of its lines."""
    return attempt(read(Source(name, text, folder)), chunk)[1]


def good(text: str, name: str = "t.yaml", folder: Path = Path()) -> Timeline:
    """The timeline in a text without problems of writing."""
    timeline = read(Source(name, text, folder))
    assert timeline.problems == ()
    return timeline


def scheduled(text: str, chunk: int = 4, **options) -> Schedule:
    return schedule(good(text), chunk, **options)


def track(text: str, chunk: int = 4, folder: Path = Path(), **options) -> Track:
    return compile_track(schedule(good(text, folder=folder), chunk), **options)
