"""HLS playlists and MPEG-TS over UDP, read by ffmpeg."""

import os
import subprocess

import pytest

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.live.targets import StreamOptions, choose_target
from tests.support.live_outputs import Feed, start
from tests.support.rtmp_server import free_port, until

FRAMES = 80


def test_a_playlist_grows_and_ends_as_a_video_on_demand(tmp_path, probe):
    playlist = tmp_path / "index.m3u8"
    output = start(str(playlist))
    with Feed(output, fps=48):
        until(playlist.exists)
        assert "#EXT-X-ENDLIST" not in playlist.read_text()
        until(lambda: output.stats.sent >= FRAMES)
    output.close()
    text = playlist.read_text()
    assert text.rstrip().endswith("#EXT-X-ENDLIST")
    assert text.count("#EXTINF") >= 3
    found = probe(playlist)
    assert [each["codec_name"] for each in found["streams"]] == ["h264", "aac"]
    assert int(found["video"]["nb_read_frames"]) == output.stats.sent
    with pytest.raises(UsageError, match="exists"):
        choose_target(str(playlist), StreamOptions(), os.environ)
    replaced = start(str(playlist), overwrite=True)
    assert not playlist.exists()  # the encoder has no segment yet
    replaced.abort()


def test_mpeg_ts_arrives_over_udp(tmp_path, ffmpeg, probe):
    port = free_port()
    command = [
        ffmpeg,
        "-v",
        "error",
        "-y",
        "-i",
        f"udp://127.0.0.1:{port}?timeout=20000000",
        "-t",
        "1",
        "-c",
        "copy",
    ]
    with subprocess.Popen([*command, str(tmp_path / "seen.ts")]) as receiver:
        output = start(f"udp://127.0.0.1:{port}")
        with Feed(output, fps=32):
            assert receiver.wait(30) == 0
        output.close()
    streams = probe(tmp_path / "seen.ts")["streams"]
    assert {each["codec_name"] for each in streams} == {"h264", "aac"}


@pytest.mark.parametrize("url", ["udp://127.0.0.1", "udp://:5000", "udp://a b:1"])
def test_an_incomplete_address_is_refused(url):
    with pytest.raises(UsageError, match="incomplete UDP"):
        choose_target(url, StreamOptions(), os.environ)
