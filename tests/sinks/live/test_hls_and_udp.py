"""HLS playlists and MPEG-TS over UDP, read by ffmpeg."""

import os
import stat
import subprocess
from fractions import Fraction

import numpy as np
import pytest

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink
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
    (tmp_path / "index.note.ts").touch()
    replaced = start(str(playlist), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["index.note.ts"]  # the encoder has no segment yet
    replaced.abort()


def test_a_pipe_named_as_a_playlist_is_refused_and_stays(tmp_path):
    pipe = tmp_path / "index.m3u8"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="is a pipe or a device"):
        choose_target(str(pipe), StreamOptions(overwrite=True), os.environ)
    with pytest.raises(UsageError, match="hls cannot be written to a pipe"):
        choose_sink(str(pipe), OutputOptions(overwrite=True), os.environ)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_playlist_of_a_file_replaces_an_earlier_one_and_nothing_else(tmp_path, bars, read_times):
    playlist, video = tmp_path / "100%d" / "50%_%03d #1.m3u8", VideoInfo(96, 128, Fraction(16), 112)
    playlist.parent.mkdir()

    def write(frames, **options):
        sink = choose_sink(str(playlist), OutputOptions(**options), os.environ)
        sink.open(video)
        sink.write(bars(frames))
        return sink

    (playlist.parent / "50~25_~2503d~20~231.ts").touch()  # no segment
    sink = write(112)
    assert (playlist.parent / f"{playlist.name}.partial.ts").exists()
    sink.close()
    segments = [f"50~25_~2503d~20~231.{number}.ts" for number in range(2)]
    names = sorted([playlist.name, "50~25_~2503d~20~231.ts", *segments])
    assert sorted(path.name for path in playlist.parent.iterdir()) == names
    text = playlist.read_text()
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in text
    assert text.rstrip().endswith("#EXT-X-ENDLIST")
    start_time, frames, _ = read_times(playlist)
    assert start_time == 0
    assert np.allclose(frames, np.arange(112) / 16, atol=1e-4, rtol=0)
    playlist.unlink()
    with pytest.raises(UsageError, match=r"50~25_~2503d~20~231\.\d\.ts exists"):
        write(16)
    write(16, overwrite=True).close()
    assert not (playlist.parent / segments[1]).exists()


def test_playlists_whose_names_begin_alike_have_segments_of_their_own(tmp_path, bars):
    names = ["walk1", "walk", "walk 1", "walk~201", "walk_1", "walk.1", "walk.1.0"]
    for name in names:
        sink = choose_sink(str(tmp_path / f"{name}.m3u8"), OutputOptions(), os.environ)
        sink.write_video(VideoInfo(96, 128, Fraction(16), 8), [bars(8)])
    assert len(list(tmp_path.iterdir())) == 2 * len(names)


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
