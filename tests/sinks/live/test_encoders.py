"""Encoder of a live output that is killed, stalls or cannot start."""

import os
import signal
import subprocess
import time

import numpy as np
import pytest

from lingbot_cli.errors import OutputError
from lingbot_cli.sinks.live.rtmp_address import RtmpAddress
from lingbot_cli.sinks.live.targets import RtmpOutput
from tests.support.live_outputs import Feed, packets, shortest, start
from tests.support.rtmp_server import until


def encoder(output):
    return output._encoder._connection._encoder._child.pid


def gaps(frames):
    """Return the seconds of each gap; assert that a keyframe follows it and times increase."""
    steps = np.diff([time for time, _, _ in frames])
    assert steps.min() > 0
    found = np.flatnonzero(steps > 0.2)
    assert all(frames[gap + 1][2].startswith("K") for gap in found)
    return steps[found]


def of_encoder(outages):
    """Return the outages of the encoder, not those of the connection."""
    return [outage for outage in outages if outage.name.startswith("the encoder of rtmp://")]


def decode_errors(video):
    """Return the errors of decoding a video."""
    decoded = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(video), "-map", "0:v", "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return decoded.stderr


def test_a_killed_encoder_is_restarted(server):
    outages = []
    output = start(server.url, outages)
    with Feed(output) as feed:
        for kills in (1, 2):
            sent = output.stats.sent
            until(lambda sent=sent: output.stats.sent > sent + 20)
            os.kill(encoder(output), signal.SIGKILL)
            until(lambda kills=kills: len(outages) == 2 * kills)
        sent = output.stats.sent
        until(lambda: output.stats.sent > sent + 20)
    output.close()
    assert feed.longest < shortest(outages)
    assert [outage.seconds is None for outage in outages] == [True, False] * 2
    assert "killed by signal 9" in outages[0].reason
    assert outages[0].name == f"the encoder of rtmp://127.0.0.1:{server.port}/live"
    assert outages[3].seconds > outages[1].seconds  # the delay grows with short connections
    assert output.stats.reconnects == 2
    (video,) = server.recordings()  # the connection never broke
    found = gaps(packets(video, "v"))
    assert len(found) == 2
    assert found.max() < 5
    assert decode_errors(video) == ""


def test_a_stalled_encoder_is_restarted(server):
    outages = []
    output = start(server.url, outages)
    with Feed(output) as feed:
        until(lambda: output.stats.sent > 20)
        stopped, put = encoder(output), feed.frames
        os.kill(stopped, signal.SIGSTOP)
        until(lambda: len(of_encoder(outages)) == 2)
        put = feed.frames - put
        assert encoder(output) != stopped
        sent = output.stats.sent
        until(lambda: output.stats.sent > sent + 40)
    output.abort()
    assert feed.longest < shortest(outages)
    lost, outage = of_encoder(outages)
    assert "stalled: it accepted and encoded nothing for 8 s" in lost.reason
    assert lost.seconds is None
    assert outage.seconds > 8  # since it stopped, not since that was noticed
    assert 0 < outage.frames <= put
    # The server may have disconnected; the rest arrived on a new connection.
    video = server.recordings()[-1]
    assert decode_errors(video) == ""
    assert max(gaps(packets(video, "v")), default=9) > 8


def test_a_short_stall_does_not_restart_the_encoder(server):
    outages = []
    output = start(server.url, outages)
    with Feed(output):
        until(lambda: output.stats.sent > 20)
        pid = encoder(output)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(4)
        os.kill(pid, signal.SIGCONT)
        sent = output.stats.sent
        until(lambda: output.stats.sent > sent + 40)
        assert encoder(output) == pid
    output.close()
    assert not [outage for outage in outages if outage.name.startswith("the encoder of")]


def test_an_encoder_that_never_works_ends_the_stream(server, tmp_path):
    for argv in (["sh", "-c", "echo broken >&2; exit 3"], [str(tmp_path / "nowhere")]):
        output = RtmpOutput(RtmpAddress.parse(server.url), argv, 16, [].append)
        with Feed(output), pytest.raises(OutputError, match=r"broken|could not be started"):
            until(lambda output=output: output.check())
        output.abort()
