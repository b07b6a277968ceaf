"""Live outputs against a real server: what arrives, and what happens when it goes or hangs."""

import os
import socket
import time

import numpy as np
import pytest

from tests.support.live_outputs import STILL, Feed, packets, start
from tests.support.rtmp_server import until


@pytest.mark.parametrize("audio", [True, False])
def test_a_stream_is_what_services_ask_for(server, probe, audio):
    output = start(server.url, kbits=300, audio=audio)
    with Feed(output, fps=48):
        until(lambda: output.stats.sent >= 96)
    output.close()
    (film,) = server.films()
    asked = probe(film)
    assert [stream["codec_name"] for stream in asked["streams"]] == ["h264", "aac"][: 1 + audio]
    assert asked["video"]["pix_fmt"] == "yuv420p"
    pictures = packets(film, "v")
    times = [time for time, _, _ in pictures]
    assert np.diff(times) == pytest.approx([1 / 16] * (len(times) - 1), abs=0.002)
    keys = [time for time, _, flags in pictures if flags.startswith("K")]
    assert np.diff(keys) == pytest.approx([2] * (len(keys) - 1), abs=0.01)
    rate = sum(size for _, size, _ in pictures) * 8 / (len(pictures) / 16)
    assert rate == pytest.approx(300_000, rel=0.2)
    if audio:
        sound = packets(film, "a")
        assert abs(sound[-1][0] - times[-1]) < 0.5
    assert output.stats.sent == len(pictures)
    assert output.stats.lost == 0


def test_a_still_picture_is_sent_at_the_same_rate(server):
    output = start(server.url, kbits=300)
    for _ in range(64):
        output.put(STILL)
        time.sleep(0.02)
    output.close()
    (film,) = server.films()
    pictures = packets(film, "v")
    assert sum(size for _, size, _ in pictures) * 8 / (len(pictures) / 16) == pytest.approx(300_000, rel=0.2)


def test_a_server_that_is_away_for_five_seconds_is_found_again(server, probe):
    told = []
    output = start(server.url, told)
    with Feed(output) as feed:
        until(lambda: output.stats.sent > 20)
        server.stop()
        until(lambda: told)
        assert told[0].seconds is None
        assert not output.stats.connected
        time.sleep(5)
        server.start()
        assert until(lambda: output.stats.connected) < 3
        before = output.stats.sent
        until(lambda: output.stats.sent > before + 20)
    output.close()
    assert feed.longest < 0.5
    gap = told[1]
    assert len(told) == 2
    assert gap.seconds > 5
    assert 40 < gap.frames <= output.stats.lost
    assert output.stats.reconnects == 1
    second = server.films()[-1]
    assert probe(second)["video"]["codec_name"] == "h264"
    first_time, _, flags = packets(second, "v")[0]
    assert flags.startswith("K")
    assert first_time < 0.5


def test_a_server_that_accepts_and_never_reads(server):
    told = []
    output = start(server.url, told, kbits=8000)
    with Feed(output) as feed:
        until(lambda: output.stats.sent > 5)
        server.stop()
        until(lambda: told)
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            silent.bind(("127.0.0.1", server.port))
            silent.listen()
            time.sleep(6)  # it is tried and given up
            assert not output.stats.connected
        server.start()
        until(lambda: output.stats.connected)
    output.close()
    assert feed.longest < 0.5
    assert [gap.seconds is None for gap in told] == [True, False]


def test_a_server_that_stops_reading_is_given_up(server):
    """A frozen process takes what the kernel holds for it, then nothing."""
    told = []
    output = start(server.url, told, kbits=20_000)
    with Feed(output) as feed:
        until(lambda: output.stats.sent > 5)
        os.kill(server._process.pid, 19)
        try:
            until(lambda: told, seconds=40)
        finally:
            os.kill(server._process.pid, 18)
        assert "no answer" in told[0].reason
        until(lambda: len(told) == 2)
    assert feed.longest < 0.5
    output.abort()
