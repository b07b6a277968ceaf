"""The encoder of a live output that dies, hangs or cannot work."""

import os
import signal
import subprocess
import time

import numpy as np
import pytest

from lingbot_cli.errors import OutputError
from lingbot_cli.sinks.live.rtmp import RtmpAddress
from lingbot_cli.sinks.live.targets import RtmpOutput
from tests.support.live_outputs import Feed, packets, start
from tests.support.rtmp_server import until


def encoder(output):
    return output._encoder._connection._encoder._child.pid


def broken_off(pictures):
    """The seconds of each hole in what arrived; behind each it begins with a keyframe, and time goes on."""
    gone = np.diff([time for time, _, _ in pictures])
    assert gone.min() > 0
    holes = np.flatnonzero(gone > 0.2)
    assert all(pictures[hole + 1][2].startswith("K") for hole in holes)
    return gone[holes]


def complaints(film):
    """What a decoder has to say against the pictures of a film."""
    decoded = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(film), "-map", "0:v", "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return decoded.stderr


def test_an_encoder_that_is_killed_is_started_again(server):
    told = []
    output = start(server.url, told)
    with Feed(output) as feed:
        for kills in (1, 2):
            sent = output.stats.sent
            until(lambda sent=sent: output.stats.sent > sent + 20)
            os.kill(encoder(output), signal.SIGKILL)
            until(lambda kills=kills: len(told) == 2 * kills)
        sent = output.stats.sent
        until(lambda: output.stats.sent > sent + 20)
    output.close()
    assert feed.longest < 0.5
    assert [gap.seconds is None for gap in told] == [True, False] * 2
    assert "killed by signal 9" in told[0].reason
    assert told[0].name == f"the encoder of rtmp://127.0.0.1:{server.port}/live"
    assert told[3].seconds > told[1].seconds  # it waits longer for what does not hold
    assert output.stats.reconnects == 2
    (film,) = server.films()  # the connection never broke
    holes = broken_off(packets(film, "v"))
    assert len(holes) == 2
    assert holes.max() < 5
    assert complaints(film) == ""


def test_an_encoder_that_hangs_is_started_again(server):
    told = []
    output = start(server.url, told)
    with Feed(output) as feed:
        until(lambda: output.stats.sent > 20)
        os.kill(encoder(output), signal.SIGSTOP)
        until(lambda: any(gap.seconds for gap in told), seconds=60)
        sent = output.stats.sent
        until(lambda: output.stats.sent > sent + 40)
    output.close()
    assert feed.longest < 0.5
    lost, gap = (each for each in told if each.name.startswith("the encoder of rtmp://"))
    assert "stalled: it accepted and encoded nothing for 8 s" in lost.reason
    assert lost.seconds is None
    assert gap.seconds > 8  # from when it stopped, not from when that was noticed
    assert gap.frames > 40  # what lay in pipes is not counted
    # The server may have hung up on the silence: what came after is there all the same.
    film = server.films()[-1]
    assert complaints(film) == ""
    assert all(8 < hole < 20 for hole in broken_off(packets(film, "v")))


def test_an_encoder_that_hangs_for_a_while_is_left_alone(server):
    told = []
    output = start(server.url, told)
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
    assert not [gap for gap in told if gap.name.startswith("the encoder of")]


def test_an_encoder_that_cannot_work_ends_the_stream(server, tmp_path):
    for argv in (["sh", "-c", "echo broken >&2; exit 3"], [str(tmp_path / "nowhere")]):
        output = RtmpOutput(RtmpAddress.parse(server.url), argv, 16, [].append)
        with Feed(output), pytest.raises(OutputError, match=r"broken|could not be started"):
            until(lambda output=output: output.check())
        output.abort()
