"""Forms of a time, and times on the frame grid."""

import pytest

from lingbot_cli.timeline.chunks import FrameGrid
from lingbot_cli.timeline.times import format_clock, parse_time

GRID = FrameGrid(fps=16, chunk=4)


@pytest.mark.parametrize(
    ("said", "frames"),
    [
        (2, 32),
        (0.25, 4),
        ("2s", 32),
        ("2 s", 32),
        (".5s", 8),
        ("500ms", 8),
        ("1m0.5s", 968),
        ("1h 1m", 58560),
        ("32f", 32),
        ("0c", 0),
        ("1c", 13),
        ("3c", 45),
        ("1:30", 1440),
        ("00:03.5", 56),
        ("01:00:00.5", 57608),
    ],
)
def test_forms(said, frames):
    assert GRID.to_frames(parse_time(said)) == frames


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (-1, "negative"),
        ("-2s", "negative"),
        ("2 minutes", "not a time"),
        ("1:75", "59"),
        ("1m75s", "59"),
        ("1m30", "not a time"),
        ("9999h", "too long"),
        ("1:99:00", "59"),
        ("1.5f", "whole number of frames"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (True, "not a time"),
        ([], "not a time"),
        (1e300, "too long"),
        (10**400, "too long"),
        ("999999999999s", "too long"),
        ("", "not a time"),
        ("٣s", "not a time"),
    ],
)
def test_invalid_times(said, message):
    with pytest.raises(ValueError, match=message):
        parse_time(said)


def test_tenths_add_up_exactly():
    at = 0
    for _ in range(10):
        at = GRID.span_end(at, parse_time(0.1))
    assert at == 16


def test_a_span_of_chunks_ends_on_a_boundary():
    for start in (0, 13, 29):
        assert GRID.span_end(start, parse_time("2c")) in (29, 45, 61)


def test_clock():
    assert [format_clock(s) for s in (0, 4.5, 59.25, 60, 123.04, 3723)] == [
        "0s",
        "4.5s",
        "59.25s",
        "1:00.0",
        "2:03.0",
        "1:02:03.0",
    ]
