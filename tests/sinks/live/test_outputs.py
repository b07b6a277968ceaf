"""Live outputs against a real server: the stream that arrives, and a server that stops or stalls."""

import os
import socket
import time

import numpy as np
import pytest

from tests.support.live_outputs import STILL, Feed, packets, shortest, start
from tests.support.rtmp_server import until


@pytest.mark.parametrize("audio", [True, False])
def test_a_stream_meets_the_requirements_of_services(server, probe, audio):
    output = start(server.url, kbits=300, audio=audio)
    with Feed(output, fps=48):
        until(lambda: output.stats.sent >= 96)
    output.close()
    (video,) = server.recordings()
    probed = probe(video)
    assert [stream["codec_name"] for stream in probed["streams"]] == ["h264", "aac"][: 1 + audio]
    assert probed["video"]["pix_fmt"] == "yuv420p"
    frames = packets(video, "v")
    times = [time for time, _, _ in frames]
    assert np.diff(times) == pytest.approx([1 / 16] * (len(times) - 1), abs=0.002)
    keys = [time for time, _, flags in frames if flags.startswith("K")]
    assert np.diff(keys) == pytest.approx([2] * (len(keys) - 1), abs=0.01)
    assert len(keys) == -(-len(frames) // 32) >= 3
    rate = sum(size for _, size, _ in frames) * 8 / (len(frames) / 16)
    assert rate == pytest.approx(300_000, rel=0.2)
    if audio:
        sound = packets(video, "a")
        assert abs(sound[-1][0] - times[-1]) < 0.5
    assert output.stats.sent == len(frames)
    assert output.stats.lost == 0


def test_a_still_image_is_sent_at_the_same_rate(server):
    output = start(server.url, kbits=300)
    for _ in range(64):
        output.put(STILL)
        time.sleep(0.02)
    output.close()
    (video,) = server.recordings()
    frames = packets(video, "v")
    assert sum(size for _, size, _ in frames) * 8 / (len(frames) / 16) == pytest.approx(300_000, rel=0.2)


def test_an_outage_of_five_seconds_ends_in_a_reconnect(server, probe):
    outages = []
    output = start(server.url, outages)
    with Feed(output) as feed:
        until(lambda: output.stats.sent > 20)
        server.stop()
        until(lambda: outages)
        assert outages[0].seconds is None
        assert not output.stats.connected
        time.sleep(5)
        server.start()
        until(lambda: output.stats.connected)
        before = output.stats.sent
        until(lambda: output.stats.sent > before + 20)
    output.close()
    assert feed.longest < shortest(outages)
    outage = outages[1]
    assert len(outages) == 2
    assert outage.seconds > 5
    assert 40 < outage.frames <= output.stats.lost
    assert output.stats.reconnects == 1
    second = server.recordings()[-1]
    assert probe(second)["video"]["codec_name"] == "h264"
    first_time, _, flags = packets(second, "v")[0]
    assert flags.startswith("K")
    assert first_time < 0.5


def test_a_server_that_accepts_and_never_reads(server):
    outages = []
    output = start(server.url, outages, kbits=8000)
    with Feed(output) as feed:
        until(lambda: output.stats.sent > 5)
        server.stop()
        until(lambda: outages)
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            silent.bind(("127.0.0.1", server.port))
            silent.listen()
            time.sleep(6)  # one connection attempt fails
            assert not output.stats.connected
        server.start()
        until(lambda: output.stats.connected)
    output.close()
    assert feed.longest < shortest(outages)
    assert [outage.seconds is None for outage in outages] == [True, False]


def test_a_server_that_stops_reading_is_disconnected(server):
    """A stopped process receives what its kernel buffer holds, then nothing."""
    outages = []
    output = start(server.url, outages, kbits=20_000)
    with Feed(output) as feed:
        until(lambda: output.stats.sent > 5)
        os.kill(server._process.pid, 19)
        try:
            until(lambda: outages, seconds=40)
        finally:
            os.kill(server._process.pid, 18)
        assert "no answer" in outages[0].reason
        until(lambda: len(outages) == 2)
    assert feed.longest < shortest(outages)
    output.abort()
