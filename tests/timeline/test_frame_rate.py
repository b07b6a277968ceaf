"""Frame rates as people write them."""

from fractions import Fraction

import pytest

from lingbot_cli.timeline.chunks import FrameGrid
from lingbot_cli.timeline.times import exact_fps, format_fps, parse_fps, parse_time


@pytest.mark.parametrize(
    ("written", "rate", "shown"),
    [
        (16, Fraction(16), "16"),
        ("30", Fraction(30), "30"),
        (24.0, Fraction(24), "24"),
        ("29.97", Fraction(30000, 1001), "29.97"),
        (29.97, Fraction(30000, 1001), "29.97"),
        ("30000/1001", Fraction(30000, 1001), "29.97"),
        (30000 / 1001, Fraction(30000, 1001), "29.97"),
        ("23.976", Fraction(24000, 1001), "23.976"),
        ("23.98", Fraction(24000, 1001), "23.976"),
        (" 59.94 ", Fraction(60000, 1001), "59.94"),
        ("12.5", Fraction(25, 2), "12.5"),
        ("25/2", Fraction(25, 2), "12.5"),
        ("1", Fraction(1), "1"),
        ("120", Fraction(120), "120"),
        ("119.88", Fraction(120000, 1001), "119.88"),
        ("29.976", Fraction(29976, 1000), "29.976"),  # further from the NTSC rate than its rounding
    ],
)
def test_rates_are_exact_however_they_are_written(written, rate, shown):
    fps = parse_fps(written)
    assert (exact_fps(fps), format_fps(fps)) == (rate, shown)
    assert isinstance(fps, int) == (rate.denominator == 1)
    assert parse_fps(repr(fps)) == fps


@pytest.mark.parametrize(
    "written",
    ["", "x", "0", "0.5", "0.999", "120.5", "121", "30/0", "1e2", "-3", "nan", "29,97", True, None, []],
)
def test_no_rate(written):
    with pytest.raises(ValueError, match="; expected 1 to 120 frames per second"):
        parse_fps(written)


def test_an_hour_of_ntsc_has_107892_frames():
    frames = FrameGrid(parse_fps("29.97")).to_frames(parse_time("1:00:00"))
    assert frames == Fraction(3600 * 30000, 1001)
    assert round(frames) == 107892
