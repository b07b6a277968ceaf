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
