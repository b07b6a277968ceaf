"""A killed encoder of `lingbot stream`: the stream continues, a file that was asked for does not."""

import os
import signal
from pathlib import Path

from tests.support.processes import children
from tests.support.rtmp_server import RtmpServer, until
from tests.support.stream_command import SMALL


def encoder_of(on_air, ending):
    """The ffmpeg of a running stream whose command line ends so."""
    (found,) = [
        pid
        for pid in children(on_air.process.pid)
        if Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").strip().endswith(ending)
    ]
    return found


def test_an_encoder_that_is_killed_does_not_end_the_show(tmp_path, small_picture, streaming, decode):
    server = RtmpServer(tmp_path / "server")
    record = tmp_path / "made.mkv"
    try:
        on_air = streaming(
            *(small_picture, "--moves", "w-10,l-7", "--loop", *SMALL, "--json", "--record", record),
            url=server.url,
        )
        until(lambda: any(said["made"] > 20 for said in on_air.said("stream")), 120)
        os.kill(encoder_of(on_air, b"-f flv pipe:1"), signal.SIGKILL)
        until(lambda: on_air.said("gap"), 30)
        sent = on_air.said("stream")[-1]["outputs"][0]["sent"]
        until(lambda: on_air.said("stream")[-1]["outputs"][0]["sent"] > sent + 20, 60)
        on_air.process.send_signal(signal.SIGINT)
        assert on_air.end() == 130
    finally:
        server.stop()
    assert "killed by signal 9" in on_air.said("lost")[0]["reason"]
    assert on_air.said("stream")[-1]["reconnects"] == 1
    assert len(decode(record, 32, 32)) == on_air.said("done")[0]["made"]


def test_an_encoder_of_a_file_that_is_killed_ends_it(tmp_path, small_picture, streaming):
    on_air = streaming(small_picture, "--moves", "w-400", *SMALL, "--json", "--to", tmp_path / "sent.mkv")
    until(lambda: any(said["made"] > 0 for said in on_air.said("stream")), 120)
    os.kill(encoder_of(on_air, b"sent.partial.mkv"), signal.SIGKILL)
    assert on_air.end() == 4
    assert "killed by signal 9" in on_air.said("error")[0]["message"]
    assert [path.name for path in tmp_path.glob("sent.*")] == ["sent.partial.mkv"]
