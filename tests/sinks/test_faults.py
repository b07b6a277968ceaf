"""Failures of an output, and the files left behind."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lingbot_cli.errors import OutputError, SetupError, UsageError
from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.codecs import CODECS
from lingbot_cli.sinks.encoding import Encoding
from lingbot_cli.sinks.factory import OutputOptions, choose_sinks
from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg, resolve_codec
from lingbot_cli.sinks.ffmpeg_process import FfmpegProcess
from lingbot_cli.sinks.ffmpeg_sink import FfmpegSink
from lingbot_cli.sinks.formats import FORMATS
from lingbot_cli.sinks.resumable import ResumableFile
from tests.support.encoding_sink import VIDEO, open_sink, write_often
from tests.support.processes import wait_until


def test_a_killed_encoder_is_reported_and_leaves_a_partial_file(tmp_path, bars, decode):
    video = bars(40)
    sink = open_sink(tmp_path / "a.mp4")
    sink.write(video)
    wait_until(lambda: sink.encoder.encoded >= 24)
    os.kill(sink.encoder._child.pid, signal.SIGKILL)
    with pytest.raises(OutputError, match=r"a\.mp4.*signal 9"):
        write_often(sink, video)
    assert sink.abort() == str(tmp_path / "a.partial.mp4")
    assert len(decode(tmp_path / "a.partial.mp4", 96, 128)) >= 8
    assert not (tmp_path / "a.mp4").exists()


def test_a_dead_encoder_is_noticed_between_writes(tmp_path):
    sink = open_sink(tmp_path / "a.mkv")
    sink.check()
    os.kill(sink.encoder._child.pid, signal.SIGKILL)
    sink.encoder._child.wait(10)
    with pytest.raises(OutputError, match="signal 9"):
        sink.check()
    assert sink.abort() is None
    assert list(tmp_path.iterdir()) == []


def test_an_aborted_video_is_complete_under_its_partial_name(tmp_path, bars, decode):
    sink = open_sink(tmp_path / "a.mp4")
    sink.write(bars(17))
    assert sink.abort() == str(tmp_path / "a.partial.mp4")
    assert len(decode(tmp_path / "a.partial.mp4", 96, 128)) == 17
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial.mp4"]


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "shots/%04d.png"])
def test_nothing_is_overwritten_without_the_option(tmp_path, bars, name):
    for options in ({}, {"overwrite": True}):
        sink = open_sink(tmp_path / name, **options)
        sink.write(bars(20 if not options else 3))
        sink.close()
        with pytest.raises(UsageError, match="exists already"):
            open_sink(tmp_path / name)
    if "%" in name:
        assert len(list((tmp_path / "shots").iterdir())) == 3


def test_a_file_that_appears_during_the_render_is_not_overwritten(tmp_path, bars):
    sink = open_sink(tmp_path / "a.mp4")
    sink.write(bars(3))
    (tmp_path / "a.mp4").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        sink.close()
    assert (tmp_path / "a.mp4").read_text() == "mine"
    assert (tmp_path / "a.partial.mp4").exists()


def test_a_folder_that_is_missing_or_removed(tmp_path, bars):
    with pytest.raises(OutputError, match="does not exist"):
        open_sink(tmp_path / "no" / "a.mp4")
    folder = tmp_path / "gone"
    folder.mkdir()
    sink = open_sink(folder / "a.mp4")
    sink.write(bars(3))
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"a\.mp4"):
        sink.close()


def test_a_full_disk(tmp_path, decode):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        sink = open_sink(disk / "a.mp4", quality="master", codec="x264rgb")
        noise = np.random.default_rng(0).integers(0, 256, (4, 96, 128, 3), np.uint8)
        with pytest.raises(OutputError, match="No space left"):
            write_often(sink, noise)
        assert sink.abort() == str(disk / "a.partial.mp4")
        assert (decode(disk / "a.partial.mp4", 96, 128)[0] == noise[0]).all()
        assert not (disk / "a.mp4").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks /proc for the encoder's threads")
def test_an_encoder_that_waits_for_more_frames_is_not_waited_for():
    asleep = FfmpegProcess(lambda _: ["sleep", "600"])
    busy = FfmpegProcess(lambda _: ["sh", "-c", "while :; do :; done"])
    try:
        assert asleep.wait_encoded(1, 60)
        assert not asleep.wait_encoded(1, 1.0, source=busy)
        assert not busy.wait_encoded(1, 1.0)
    finally:
        asleep.stop()
        busy.stop()


def test_a_megabyte_of_messages_never_blocks_the_writer():
    chatty = (
        "import sys\n"
        "for _ in range(16): sys.stderr.write('x' * 65535 + '\\n')\n"
        "sys.stderr.write('frame=2\\n'); sys.stderr.flush()\n"
        "sys.stdin.buffer.read(); sys.stderr.write('the last word\\n'); sys.exit(3)"
    )
    encoder = FfmpegProcess(lambda _: [sys.executable, "-c", chatty])
    encoder.write(np.zeros((64, 96, 128, 3), np.uint8))
    with pytest.raises(OutputError, match=r"exited with code 3: .*the last word") as failure:
        encoder.finish(timeout_s=30)
    assert len(str(failure.value)) < 20_000
    assert encoder.encoded == 2


def test_frames_that_were_not_encoded_are_noticed(tmp_path, bars):
    real = CODECS["x264"]
    lossy = replace(real, filters=f"select=not(eq(n\\,1)),{real.filters}")  # loses the second frame
    encoding = Encoding(find_ffmpeg({}), FORMATS["mp4"], lossy)
    sink = FfmpegSink(
        "a.mp4", ResumableFile(tmp_path / "a.mp4", encoding, None, overwrite=False), metadata=True
    )
    sink.open(VideoInfo(96, 128, Fraction(16), 4))
    sink.write(bars(4))
    with pytest.raises(OutputError, match="3 of 4 frames"):
        sink.close()
    assert not (tmp_path / "a.mp4").exists()


def test_chapters_and_metadata_are_in_the_file(tmp_path, bars, probe):
    tag = 'many = "marks" ; # and\nlines ' + "x" * 200_000
    video = VideoInfo(96, 128, Fraction(16), 40, (Chapter(0, "gate"), Chapter(16, "tower")), {"LINGBOT": tag})
    for name in ("a.mp4", "a.mkv", "a.webm"):
        sink = open_sink(tmp_path / name, video)
        sink.write(bars(40))
        sink.close()
        asked = probe(tmp_path / name)
        assert [each["tags"]["title"] for each in asked["chapters"]] == ["gate", "tower"]
        assert [float(each["start_time"]) for each in asked["chapters"]] == [0, 1]
        tags = asked["format"]["tags"]
        assert (tags.get("LINGBOT") or tags["lingbot"]) == tag


def test_several_outputs_at_once_and_one_that_fails(tmp_path, bars, decode):
    video = bars(5)
    both = choose_sinks([str(tmp_path / "a.mkv"), str(tmp_path / "a.gif")], OutputOptions(), os.environ)
    both.open(VIDEO)
    both.write(video)
    both.check()
    both.close()
    assert len(decode(tmp_path / "a.mkv", 96, 128)) == len(decode(tmp_path / "a.gif", 96, 128)) == 5
    bad = choose_sinks([str(tmp_path / "b.mkv"), str(tmp_path / "a.gif")], OutputOptions(), os.environ)
    with pytest.raises(UsageError, match="exists already"):
        bad.open(VIDEO)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "a.mkv"]
    with pytest.raises(UsageError, match="given twice"):
        choose_sinks(["null:", "null:"], OutputOptions(), os.environ)


def test_an_old_or_broken_ffmpeg(tmp_path):
    old = tmp_path / "ffmpeg"
    old.write_text("#!/bin/sh\necho ffmpeg version 5.1.6-0+deb12u1 Copyright\n")
    old.chmod(0o755)
    with pytest.raises(SetupError, match=r"5\.1"):
        find_ffmpeg({"LINGBOT_FFMPEG": str(old)})
    with pytest.raises(SetupError, match="does not run"):
        find_ffmpeg({"LINGBOT_FFMPEG": str(tmp_path / "none")})


def test_hardware_codecs_are_used_only_where_they_work(ffmpeg, monkeypatch):
    monkeypatch.setitem(
        sys.modules["lingbot_cli.sinks.ffmpeg_binary"].CODEC_FAMILIES, "h264", ("nonsense", "x265", "x264")
    )
    monkeypatch.setitem(
        sys.modules["lingbot_cli.sinks.ffmpeg_binary"].CODECS,
        "nonsense",
        sys.modules["lingbot_cli.sinks.ffmpeg_binary"].CODECS["x264"].__class__("h264_none", "yuv420p"),
    )
    assert resolve_codec(ffmpeg, "h264") == "x265"
    assert resolve_codec(ffmpeg, "vp9") == "vp9"
