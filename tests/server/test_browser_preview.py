"""`--preview` in a real Chromium."""

import re
import time
import urllib.error
import urllib.request
from fractions import Fraction

import numpy as np
import pytest

from lingbot_cli.server.browser_preview import BrowserPreview
from lingbot_cli.sinks.base import VideoInfo
from tests.support.chromium import chromium, needs_chromium
from tests.support.reference import sample_image


@pytest.fixture
def sink():
    lines = []
    made = BrowserPreview(lines.append)
    made.open(VideoInfo(32, 48, Fraction(16)))
    try:
        made.url = re.fullmatch(r"watch it at (http://127\.0\.0\.1:\d+/\?token=\S+)", lines[0])[1]
        yield made
    finally:
        made.close()


def chunk():
    return np.stack([sample_image(32, 48, seed=number) for number in range(9)])


@needs_chromium
def test_a_page_shows_the_frames(sink, tmp_path):
    sink.write(chunk())  # nobody looks yet
    with chromium(tmp_path) as browser:
        tab = browser.open(sink.url)
        tab.until("document.body.dataset.mode === 'watch'")
        end = time.monotonic() + 60
        while int(tab.data().get("shown", 0)) < 9:
            assert time.monotonic() < end
            sink.write(chunk())
            time.sleep(0.2)
        assert (
            tab.ask(
                "[document.getElementById('screen').width, document.getElementById('screen').height].join()"
            )
            == "48,32"
        )
        red, green, blue = tab.ask(
            "[...document.getElementById('screen').getContext('2d').getImageData(24, 16, 1, 1).data]"
        )[:3]
        assert min(np.abs(np.array([red, green, blue]) - frame[16, 24]).max() for frame in chunk()) < 12
        assert tab.ask("getComputedStyle(document.getElementById('dock')).display") == "none"
        sink.close()
        tab.until("document.body.dataset.state !== 'connecting'")


def test_without_the_token_the_page_is_denied(sink):
    with pytest.raises(urllib.error.HTTPError) as turned_away:
        urllib.request.urlopen(sink.url.split("?")[0], timeout=30)
    assert turned_away.value.code == 401
    turned_away.value.close()
    for _ in range(50):
        sink.write(chunk())
    assert sink.abort() is None
