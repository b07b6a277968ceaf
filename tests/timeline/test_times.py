"""Forms of a time, and times on the frame grid."""

from fractions import Fraction

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
        ("59m59s", 57584),
        ("1h59m59.5s", 115192),
        ("90m", 86400),
        ("75s", 1200),
        ("75:59", 72944),
        ("1:59:59", 115184),
        ("2min", 1920),
    ],
)
def test_forms(said, frames):
    assert GRID.to_frames(parse_time(said)) == frames


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (-1, "negative"),
        ("-2s", "negative"),
        ("-1:30", "negative"),
        ("-.5s", "negative"),
        ("-x", "not a time"),
        ("2 minutes", "not a time"),
        ("1:75", "59"),
        ("1m75s", "59"),
        ("1m30", "not a time"),
        ("9999h", "too long"),
        ("1:99:00", "59"),
        ("1:60", "59"),
        ("1:60:00", "59"),
        ("1m60s", "59"),
        ("1h60m", "59"),
        ("1h60s", "59"),
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


@pytest.mark.parametrize(
    ("largest", "beyond"),
    [
        (10**7, 10**7 + 1),
        (1e7, 1e7 + 0.5),
        ("10000000", "10000000.5"),
        ("10000000f", "10000001f"),
        ("2777h46m40s", "2777h46m40.5s"),
    ],
)
def test_the_longest_time(largest, beyond):
    assert parse_time(largest).amount == 10**7
    with pytest.raises(ValueError, match="too long; expected at most"):
        parse_time(beyond)


def test_a_number_of_any_length_is_shown_by_its_beginning():
    with pytest.raises(ValueError, match=f"the time 1{'0' * 39} is too long; "):
        parse_time(10**400)


def test_times_are_exact_and_written_with_their_unit():
    assert [str(parse_time(text)) for text in (2, "0.5", "500ms", "3f", "2c", "1m0.25s")] == [
        *("2s", "0.5s", "0.5s", "3f", "2c", "60.25s")
    ]
    assert parse_time(0.1).amount == Fraction(1, 10)
    assert parse_time(parse_time("3f")) == parse_time("3f")


def test_tenths_add_up_exactly():
    at = 0
    for _ in range(10):
        at = GRID.span_end(at, parse_time(0.1))
    assert at == 16


def test_a_span_of_chunks_ends_on_a_boundary():
    for start in (0, 13, 29):
        assert GRID.span_end(start, parse_time("2c")) in (29, 45, 61)


def test_clock():
    assert [format_clock(s) for s in (0, 4.5, 59.25, 60, 119.96, 123.04, 3723)] == [
        "0s",
        "4.5s",
        "59.25s",
        "1:00.0",
        "2:00.0",
        "2:03.0",
        "1:02:03.0",
    ]
