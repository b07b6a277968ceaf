"""Names of image sequences."""

import pytest

from lingbot_cli.sinks.frame_pattern import FramePattern


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("%05d.png", 7, "00007.png"),
        ("%d.png", 12, "12.png"),
        ("%0d.png", 3, "3.png"),
        ("a%%b%3d.png", 1234, "a%b1234.png"),
        ("100%_%02d%.png", 5, "100%_05%.png"),
        ("%s%04d.png", 5, "%s0005.png"),
        ("a%02d-b%%c.png", 5, "a05-b%c.png"),
    ],
)
def test_names(name, number, expected):
    assert FramePattern.parse(name).name(number) == expected


@pytest.mark.parametrize("name", ["a.png", "%d_%d.png", "%%d.png", "%s.png", "%123d.png"])
def test_no_pattern(name):
    assert FramePattern.parse(name) is None


def test_a_number_has_one_digit_at_least():
    assert [FramePattern.parse(name).digits for name in ("%d", "%0d", "%1d", "%02d")] == [1, 1, 1, 2]


def test_images_are_found_by_their_number(tmp_path):
    pattern = FramePattern.parse("a.%03d.png")
    for name in (
        "a.002.png",
        "a.010.png",
        "a.1000.png",
        "a.1.png",
        "a.0002.png",
        "ax003.png",
        "a.004.png.tmp",
    ):
        (tmp_path / name).touch()
    assert list(pattern.find(tmp_path)) == [2, 10, 1000]
    assert pattern.find(tmp_path)[2] == tmp_path / "a.002.png"


def test_a_pattern_in_the_notation_of_ffmpeg(tmp_path):
    folder = tmp_path / "50%"
    folder.mkdir()
    url = FramePattern.parse("a%%_%04d%%.png").ffmpeg_url(folder)
    assert url == f"{tmp_path}/50%%/a%%_%04d%%.png"


def test_a_long_name_leaves_room_for_a_temporary_one(tmp_path):
    # A name has at most 255 bytes, of which `.tmp` needs four and the largest number seven digits or more.
    short, long = FramePattern.parse("x" * 200 + "%05d.png"), FramePattern.parse("x" * 245 + "%05d.png")
    assert short.for_writing(tmp_path) is short
    assert long.for_writing(tmp_path) == FramePattern("", 5, ".png")
