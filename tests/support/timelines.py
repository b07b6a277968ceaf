"""Timelines from texts in tests."""

from pathlib import Path

from lingbot_cli.timeline.compile import CompiledTimeline, compile_timeline
from lingbot_cli.timeline.diagnostics import Problem, SourceText, TimelineError
from lingbot_cli.timeline.load import Timeline, parse_timeline
from lingbot_cli.timeline.schedule import TimelineSchedule, schedule_timeline


def try_schedule(timeline: Timeline, chunk: int) -> tuple[TimelineSchedule | None, list[Problem]]:
    """Schedule a timeline, or return its problems."""
    try:
        return schedule_timeline(timeline, chunk), []
    except TimelineError as error:
        return None, error.problems


def find_problems(text: str, name: str = "t.yaml", folder: Path = Path(), chunk: int = 4) -> list[Problem]:
    """Return every problem in a text, in the order of its lines."""
    return try_schedule(parse_timeline(SourceText(name, text, folder)), chunk)[1]


def parse_valid(text: str, name: str = "t.yaml", folder: Path = Path()) -> Timeline:
    """Return the timeline of a text without problems."""
    timeline = parse_timeline(SourceText(name, text, folder))
    assert timeline.problems == ()
    return timeline


def schedule_text(text: str, chunk: int = 4, **options) -> TimelineSchedule:
    return schedule_timeline(parse_valid(text), chunk, **options)


def compile_text(text: str, chunk: int = 4, folder: Path = Path(), **options) -> CompiledTimeline:
    return compile_timeline(schedule_timeline(parse_valid(text, folder=folder), chunk), **options)
