"""Keys and prompt drawn on the frames."""

from fractions import Fraction

import numpy as np
import pytest

from lingbot_cli.fonts import choose_font
from lingbot_cli.sinks.base import NullSink, VideoInfo
from lingbot_cli.sinks.output_paths import copy_name
from lingbot_cli.sinks.overlay import Caption, OverlaySink, caption_layer


class Recorder(NullSink):
    """Records its video and frames."""

    def open(self, video):
        self.video = video
        self.seen = []

    def write(self, frames):
        self.seen.extend(frames)


def drawn(captions, frames, height, width, **options):
    recorder = Recorder()
    sink = OverlaySink(recorder, captions, **options)
    sink.open(VideoInfo(height, width, Fraction(16)))
    grey = np.full((frames, height, width, 3), 90, np.uint8)
    sink.write(grey[:2])
    sink.write(grey[2:])
    sink.close()
    return recorder, grey


def test_each_frame_shows_its_own_keys():
    captions = [Caption("w", ""), Caption("", ""), Caption("wl", "")]
    recorder, _ = drawn(captions, 4, 480, 832, enlarge=False)
    first, second, third, fourth = (frame.astype(int) for frame in recorder.seen)
    assert (first != second).any()
    lit = first.sum(2) - second.sum(2) > 100
    rows, columns = np.nonzero(lit)
    assert rows.min() > 240
    assert columns.max() < 416  # W lies on the left
    right = np.nonzero(third.sum(2) - first.sum(2) > 100)[1]
    assert right.min() > 416  # L on the right
    assert (third == fourth).all()  # the last caption stays


def test_a_prompt_is_drawn_on_top_and_a_long_one_is_shortened():
    colour, cover = caption_layer(Caption("", "a courtyard " * 60), 480, 832)
    assert colour.shape == (480, 832, 3)
    assert cover[:20].min() > 0
    assert cover[120:300].max() == 0
    assert (cover != caption_layer(Caption("", ""), 480, 832)[1]).any()


KEYS = {
    **{key: (column, 2) for column, key in enumerate("qwe")},
    **{key: (column, 1) for column, key in enumerate("asd")},
    **{key: (column - 3, 1) for column, key in enumerate("jkl")},
    "i": (-2, 2),
}


def cell(key, height, width):
    """Return the rows and columns of a key: blocks of the letters as on a keyboard, in the lower corners."""
    side = min(height // 9, width // 8)
    column, row = KEYS[key]
    left = (0 if column >= 0 else width) + (side // 3 if column >= 0 else -(side // 3)) + column * side
    top = height - side // 3 - row * side
    return slice(top, top + side), slice(left, left + side)


@pytest.mark.parametrize(("height", "width"), [(480, 832), (832, 480)])
def test_keys_lie_as_on_a_keyboard_one_pixel_apart_from_their_cells(height, width):
    _, cover = caption_layer(Caption("", ""), height, width)
    rest = cover[..., 0].copy()
    side = min(height // 9, width // 8)
    for key in KEYS:
        rows, columns = np.nonzero(rest[cell(key, height, width)])
        for places in (rows, columns):
            assert (places.min(), places.max()) == (1, side - 2)
        missing = (side - 2) ** 2 - len(rows)  # four corners, rounded with a fifth of the key
        assert missing == pytest.approx((4 - np.pi) * (side // 5) ** 2, rel=0.2)
        rest[cell(key, height, width)] = 0
    assert not rest.any()


@pytest.mark.parametrize("key", KEYS)
def test_a_pressed_key_is_white_with_a_dark_letter(key):
    colour, cover = caption_layer(Caption("", ""), 480, 832)
    pressed, pressed_cover = caption_layer(Caption(key, ""), 480, 832)
    assert (colour[cover[..., 0] > 0] == 255).all()
    place = cell(key, 480, 832)
    assert pressed[place][pressed_cover[place][..., 0] > 0].min() == 20
    assert (np.median(cover[place]), np.median(pressed_cover[place])) == (50, 230)
    changed = (pressed != colour).any(2) | (pressed_cover != cover)[..., 0]
    changed[place] = False
    assert not changed.any()


@pytest.mark.parametrize("height", [480, 160])
def test_a_prompt_is_white_on_a_band_with_half_a_letter_above_and_below(height):
    colour, cover = caption_layer(Caption("", "a gate"), height, 832)
    size = max(8, height // 22)
    _, font = choose_font("a gate", size)
    _, top, _, bottom = font.getbbox("a gate")
    band = np.nonzero(cover[:, 831, 0])[0]
    assert (band.min(), cover[0, 831, 0]) == (0, 130)
    assert band.max() == pytest.approx(size / 2 + bottom + size / 2, abs=1)
    written = colour[: band.max() + 1]
    assert written.max() > 200
    assert (written == written[..., :1]).all()  # no tint
    rows, columns = np.nonzero(written[..., 0])
    assert rows.min() == pytest.approx(size / 2 + top, abs=1)
    assert columns.min() == pytest.approx(832 * 0.03, abs=2)


def test_pixels_without_a_caption_stay_as_they_are():
    recorder = Recorder()
    sink = OverlaySink(recorder, [Caption("w", "")], enlarge=False)
    sink.open(VideoInfo(64, 112, Fraction(16)))
    frames = np.arange(64 * 112 * 3).astype(np.uint8).reshape(1, 64, 112, 3)
    sink.write(frames)
    colour, cover = caption_layer(Caption("w", ""), 64, 112)
    expected = (frames[0] * (1 - cover / 255) + colour * (cover / 255)).astype(int)
    assert np.abs(recorder.seen[0].astype(int) - expected).max() <= 1
    assert (recorder.seen[0] == frames[0])[cover[..., 0] == 0].all()


@pytest.mark.parametrize("prompt", ["une cour à l'été", "ein Hof – früh", "двор зимой"])
def test_a_prompt_beyond_plain_latin_is_written_in_letters_not_boxes(prompt):
    text, font = choose_font(prompt, 20)
    missing = bytes(font.getmask("\U0010ffff"))
    assert all(bytes(font.getmask(letter)) != missing for letter in text if letter != " ")


def test_letters_that_no_font_has_become_question_marks():
    assert choose_font("a \U0010fffe b", 20)[0] == "a ? b"


def test_a_small_copy_is_enlarged_and_the_input_is_unchanged():
    recorder, grey = drawn([Caption("w", "a court")], 3, 64, 112, enlarge=True)
    assert (recorder.video.height, recorder.video.width) == (384, 672)
    assert recorder.seen[0].shape == (384, 672, 3)
    assert (grey == 90).all()
    small, _ = drawn([Caption("w", "a court")], 3, 16, 16, enlarge=False)
    assert small.seen[0].shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("target", "copy"),
    [
        ("film.mp4", "film.keys.mp4"),
        ("a/b.c.mkv", "a/b.c.keys.mkv"),
        ("a/s/%03d.png", "a/s.keys/%03d.png"),
        ("%d.png", "frames.keys/%d.png"),
    ],
)
def test_the_name_of_a_copy(target, copy):
    assert copy_name(target, "keys") == copy
