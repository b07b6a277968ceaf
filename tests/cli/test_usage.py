"""Mistakes on the command line are answered in one style, with the nearest name."""

import pytest

from lingbot_cli.timeline.times import FPS_FORMS
from tests.support.command import lingbot


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rendr", "error: no such command 'rendr'\nhint: did you mean 'render'?\n"),
        ("models lst", "error: no such command 'lst'\nhint: did you mean 'list'?\n"),
        ("timeline shw", "error: no such command 'shw'\nhint: did you mean 'show'?\n"),
        ("render a.png --ovrlay burn", "error: no such option '--ovrlay'\nhint: did you mean '--overlay'?\n"),
        ("render a.png --fps 0", f"error: --fps: 0 is out of range; expected {FPS_FORMS}\n"),
        ("render a.png --fps 29,97", f"error: --fps: '29,97' is no frame rate; expected {FPS_FORMS}\n"),
        ("stream a.png --bitrate 10k", "error: --bitrate: 10k is not in the range 50k to 100M\n"),
        ("render a.png --fps x", f"error: --fps: 'x' is no frame rate; expected {FPS_FORMS}\n"),
        ("render a.png --quality best", "error: --quality: 'best' is not one of 'web', 'master', 'draft'\n"),
        ("render a.png --prompt", "error: --prompt requires an argument\n"),
        ("render a.png --overwrite=1", "error: --overwrite does not take a value\n"),
        ("render", "error: IMAGE is required\nhint: such as: lingbot render samples/"),
        ("render a.png b.png", "error: unexpected arguments (b.png)\n"),
    ],
)
def test_a_mistake_is_one_line_and_a_hint(words, message):
    done = lingbot(*words.split())
    assert done.code == 2
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) <= 2


def test_a_command_that_is_like_none_is_answered_with_all():
    done = lingbot("xyzzy")
    assert "error: no such command 'xyzzy'\nhint: use one of render, batch, " in done.stderr
