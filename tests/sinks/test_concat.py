"""Resumed outputs: existing frames are copied, every frame is there once and on time."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lingbot_cli.errors import OutputError
from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.concat import Packet, find_cut_point, read_packets
from lingbot_cli.sinks.factory import OutputOptions, choose_sink
from tests.support.processes import children, has_exited, never_created, wait_until
from tests.support.sink_feeder import CHUNK, frames

TOTAL = 192
VIDEO = VideoInfo(96, 160, Fraction(16), TOTAL, (Chapter(30, "half"),), {"comment": "fed"})
FORMATS = [
    *(("a.mp4", None), ("a.mkv", None), ("a.mkv", "x265"), ("a.mp4", "x265"), ("a.webm", "vp9")),
    *(("a.mp4", "av1"), ("a.mkv", "ffv1"), ("a.mp4", "x264rgb"), ("a.y4m", None), ("a.png", None)),
    *(("a.ts", None), ("a.m3u8", None)),
]


def open_sink(folder, name, limit=TOTAL - 1, video=VIDEO, **options):
    """Open a sink that resumes; return it and its number of existing frames."""
    (folder / "keep").mkdir(exist_ok=True)
    target = str(folder / name)
    sink = choose_sink(target, OutputOptions(resume_dir=folder / "keep", **options), os.environ)
    existing = sink.resumable_frames(video, limit)[target]
    sink.open(replace(video, start_frame=existing))
    return sink, existing


def write(sink, first, end):
    for start in range(first, end, CHUNK):
        sink.write(frames(start, min(CHUNK, end - start), 96, 160))


def times(ffmpeg, path):
    return sorted(round(packet.shown * 16, 1) for packet in read_packets(ffmpeg, path))


def psnr(one, other):
    error = np.square(one.astype(np.float64) - other).mean((1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(error, 1e-9))


@pytest.mark.parametrize(("name", "codec"), FORMATS)
def test_resuming_copies_the_existing_frames(tmp_path, ffmpeg, decode, name, codec):
    name = name if name != "a.png" else "a/%03d.png"
    sink, existing = open_sink(tmp_path, name, codec=codec)
    assert existing == 0
    write(sink, 0, 50)
    partial = sink.abort()
    before = decode(partial if "%" not in name else f"{partial}/%03d.png", 96, 160)
    sink, existing = open_sink(tmp_path, name, codec=codec)
    assert 44 <= existing <= 50
    write(sink, existing, TOTAL)
    sink.close()
    joined, whole = tmp_path / name, tmp_path / f"whole-{name.replace('/', '-')}"
    assert not list(tmp_path.glob("*.partial*"))
    after = decode(joined, 96, 160)
    assert len(after) == TOTAL
    assert np.array_equal(after[:existing], before[:existing])
    alone = choose_sink(str(whole), OutputOptions(codec=codec), os.environ)
    alone.open(VIDEO)
    write(alone, 0, TOTAL)
    alone.close()
    assert times(ffmpeg, joined) == times(ffmpeg, whole)
    source = frames(0, TOTAL, 96, 160)
    good = psnr(decode(whole, 96, 160), source)
    assert psnr(after, source)[existing:].mean() > good[existing:].mean() - 1


def test_a_player_sees_one_stream_with_its_chapters(tmp_path, probe, read_times):
    for name in ("a.mp4", "a.mkv"):
        sink, _ = open_sink(tmp_path, name)
        write(sink, 0, 40)
        sink.abort()
        sink, existing = open_sink(tmp_path, name)
        assert existing
        write(sink, existing, TOTAL)
        sink.close()
        start, shown, chapters = read_times(tmp_path / name)
        assert start == 0
        assert np.allclose(shown, np.arange(TOTAL) / 16, atol=6e-4, rtol=0)
        assert np.allclose(chapters, [0, 30 / 16], atol=1e-3, rtol=0)
        probed = probe(tmp_path / name)
        assert int(probed["video"]["nb_read_frames"]) == TOTAL
        assert probed["video"]["avg_frame_rate"] == "16/1"
        assert [chapter["tags"]["title"] for chapter in probed["chapters"]] == ["start", "half"]
        assert {key.lower(): text for key, text in probed["format"]["tags"].items()}["comment"] == "fed"
        assert len([each for each in probed["streams"] if each["codec_type"] == "video"]) == 1


def test_only_the_same_video_with_the_same_encoding_is_resumed(tmp_path):
    sink, _ = open_sink(tmp_path, "a.mkv")
    write(sink, 0, 50)
    sink.abort()

    def existing(name="a.mkv", video=VIDEO, limit=TOTAL - 1, **options):
        sink = choose_sink(
            str(tmp_path / name), OutputOptions(resume_dir=tmp_path / "keep", **options), os.environ
        )
        return sink.resumable_frames(video, limit)[str(tmp_path / name)]

    assert existing(crf=30) == existing(codec="x265") == existing("b.mkv") == 0
    assert (
        existing(video=replace(VIDEO, variant="from frame 12"))
        == existing(video=replace(VIDEO, fps=Fraction(8)))
        == 0
    )
    assert 21 <= existing(limit=24) <= 24
    assert existing() >= 44


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.rgb"])
def test_formats_without_concatenation_start_over(tmp_path, name):
    sink, _ = open_sink(tmp_path, name)
    write(sink, 0, 24)
    sink.abort()
    sink, existing = open_sink(tmp_path, name)
    assert existing == 0
    sink.abort()


def test_another_video_of_the_same_name_is_not_resumed(tmp_path, decode):
    sink, _ = open_sink(tmp_path, "a.mkv")
    write(sink, 0, 50)
    partial = Path(sink.abort())
    other = choose_sink(str(tmp_path / "a.mkv"), OutputOptions(), os.environ)
    other.open(VIDEO)
    other.write(255 - frames(0, 36, 96, 160))
    other.abort()
    assert len(decode(partial, 96, 160)) == 36
    sink, existing = open_sink(tmp_path, "a.mkv")
    write(sink, existing, TOTAL)
    sink.close()
    assert psnr(decode(tmp_path / "a.mkv", 96, 160), frames(0, TOTAL, 96, 160)).min() > 25


def test_a_cut_point_needs_no_later_frame():
    def packets(*shown):
        return [Packet(Fraction(index - 1, 16), Fraction(at, 16), True) for index, at in enumerate(shown)]

    cut = find_cut_point(Path("a"), packets(0, 3, 1, 2, 6, 4, 5, 7), Fraction(16), 99)
    assert (cut.frames, cut.end, cut.delay) == (7, Fraction(6, 16), 1)
    assert find_cut_point(Path("a"), packets(0, 3, 1, 2, 6, 4, 5, 7), Fraction(16), 6).frames == 4
    assert find_cut_point(Path("a"), packets(0, 3, 1, 2), Fraction(16), 99).frames == 1
    assert find_cut_point(Path("a"), packets(0), Fraction(16), 99) is None
    assert find_cut_point(Path("a"), [], Fraction(16), 99) is None
    torn = [*packets(0, 1, 2)[:2], Packet(Fraction(1, 16), Fraction(2, 16), False)]
    assert find_cut_point(Path("a"), torn, Fraction(16), 99).frames == 2


def feed(folder, name, moment):
    """Resume a video and kill the run; return the number of frames written before."""
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.support.sink_feeder",
            str(folder / name),
            "160",
            "96",
            "16",
            str(folder / "keep"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    last = int(child.stdout.readline())
    fed = [0]
    reader = threading.Thread(target=lambda: fed.extend(int(line) for line in child.stdout if line[0] != "c"))
    reader.start()
    wait_until(lambda: len(fed) > moment.randrange(1, 3))
    time.sleep(moment.random() * 0.2)
    encoders = [last, *(pid for pid in children(child.pid) if pid != last)]
    written = fed[-1]
    os.kill(moment.choice([child.pid, *encoders]), signal.SIGKILL)
    child.wait(60)
    wait_until(lambda: all(has_exited(pid) for pid in encoders))
    reader.join(60)
    child.stdout.close()
    assert child.returncode != 0
    return written


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks /proc who is alive")
@pytest.mark.parametrize("seed", range(6))
def test_a_video_killed_repeatedly_plays_and_resumes(tmp_path, decode, ffmpeg, seed):
    moment, name = random.Random(seed), ("a.mp4", "a.mkv")[seed % 2]
    (tmp_path / "keep").mkdir()
    partial = tmp_path / name.replace(".", ".partial.")
    with never_created(tmp_path / name):
        for _ in range(3):
            written = feed(tmp_path, name, moment)
            assert len(decode(partial, 96, 160)) >= written - 16
    sink, existing = open_sink(tmp_path, name)
    assert existing
    write(sink, existing, TOTAL)
    sink.close()
    video = decode(tmp_path / name, 96, 160)
    assert psnr(video, frames(0, TOTAL, 96, 160)).min() > 25
    assert len(times(ffmpeg, tmp_path / name)) == len(video) == TOTAL


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_while_copying_loses_no_frame(small_disk, decode):
    sink, _ = open_sink(small_disk, "a.mkv", quality="master")
    write(sink, 0, 48)
    partial = sink.abort()
    before = len(decode(partial, 96, 160))
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk)
    room = 120_000  # enough to start, less than the copy needs
    assert os.path.getsize(partial) > room
    ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - room)))
    sink, existing = open_sink(small_disk, "a.mkv", quality="master")
    with pytest.raises(OutputError, match="No space left on device"):  # noqa: PT012 - either may fail
        write(sink, existing, TOTAL)
        sink.close()
    assert sink.abort() == partial
    assert not (small_disk / "a.mkv").exists()
    assert len(decode(partial, 96, 160)) == before
    ballast.unlink()
    (small_disk / "ballast").write_bytes(b"")
    sink, again = open_sink(small_disk, "a.mkv", quality="master")
    assert again == existing
    sink.abort()
