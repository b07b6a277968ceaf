"""HLS playlists of files and streams, played by Chromium, which reads HLS by itself."""

import json
import os
from fractions import Fraction

import pytest

from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink
from tests.support.chromium import chromium, needs_chromium
from tests.support.live_outputs import Feed, start
from tests.support.rtmp_server import until
from tests.support.static_server import static_server

pytestmark = needs_chromium
FRAMES = 112
PAGE = """<!doctype html><body><video muted autoplay src="{}"></video><script>
const v = document.querySelector("video"); v.onended = () => document.body.dataset.ended = 1;
let retries = {};
v.onerror = () => {{
  const refused = v.error.message === "PipelineStatus::DEMUXER_ERROR_COULD_NOT_PARSE";
  if (refused && retries-- > 0) setTimeout(() => v.load(), 500);
  else document.body.dataset.error = v.error.message;
}};
</script>"""
STATE = """(v => JSON.stringify({
  time: v.currentTime, duration: isFinite(v.duration) ? v.duration : -1, size: [v.videoWidth, v.videoHeight],
  frames: v.getVideoPlaybackQuality().totalVideoFrames}))(document.querySelector("video"))"""


@pytest.fixture
def play(tmp_path):
    """Return a function that opens a playlist of `tmp_path` in a tab."""
    (tmp_path / "profile").mkdir()
    with static_server(tmp_path) as address, chromium(tmp_path / "profile") as browser:

        def run(name, retries=0):
            (tmp_path / "page.html").write_text(PAGE.format(name, retries))
            return browser.open(f"{address}/page.html")

        yield run


def test_a_playlist_of_a_file_plays_to_its_last_frame(tmp_path, bars, play):
    sink = choose_sink(str(tmp_path / "a b.m3u8"), OutputOptions(), os.environ)
    sink.open(VideoInfo(96, 128, Fraction(16), FRAMES))
    sink.write(bars(FRAMES))
    sink.close()
    tab = play("a%20b.m3u8")
    tab.until("document.querySelector('video').readyState >= 1")
    tab.ask("document.querySelector('video').playbackRate = 4")
    tab.until("document.body.dataset.ended || document.body.dataset.error")
    state = json.loads(tab.ask(STATE))
    assert "error" not in tab.data()
    assert state["size"] == [128, 96]
    assert state["duration"] == pytest.approx(FRAMES / 16, abs=0.1)
    assert state["time"] == pytest.approx(state["duration"], abs=0.1)
    assert state["frames"] >= FRAMES - 3


def test_a_playlist_plays_while_it_grows(tmp_path, play):
    (tmp_path / "live").mkdir()
    playlist = tmp_path / "live" / "index.m3u8"
    output = start(str(playlist))
    with Feed(output, fps=48):
        # Chromium refuses a growing playlist of fewer segments; and one that has not grown since, where it loads all
        # segments before it starts to play.
        until(lambda: playlist.exists() and playlist.read_text().count("#EXTINF") >= 3)
        tab = play("live/index.m3u8", retries=10)
        tab.until("document.body.dataset.error || document.querySelector('video').currentTime > 2")
        state = json.loads(tab.ask(STATE))
    output.close()
    assert "error" not in tab.data()
    assert state["size"] == [96, 64]
    assert state["frames"] > 30
