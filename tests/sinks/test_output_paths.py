"""Outputs that are no plain files, unusual names, and outputs that are one file."""

import os
import stat
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import pytest

from lingbot_cli.errors import OutputError, UsageError
from lingbot_cli.files import write_file
from lingbot_cli.render.resume_store import ResumeStore
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink, choose_sinks
from lingbot_cli.sinks.frame_pattern import FramePattern
from lingbot_cli.sinks.output_paths import (
    check_distinct,
    copy_name,
    is_partial_name,
    partial_name,
    segment_stem,
    sequence_folder,
    sequence_names,
    subtitle_name,
)

FRAMES = 5


def write(target, bars, **options):
    sink = choose_sink(str(target), OutputOptions(**options), os.environ)
    sink.open(VideoInfo(96, 128, Fraction(16), FRAMES))
    sink.write(bars(FRAMES))
    sink.close()


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "gif", "y4m"])
def test_a_pipe_is_written_into_and_stays(tmp_path, bars, decode, suffix):
    pipe, copy = tmp_path / f"pipe.{suffix}", tmp_path / f"copy.{suffix}"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: copy.write_bytes(pipe.read_bytes()))
    reader.start()
    write(pipe, bars)
    reader.join(30)
    assert pipe.is_fifo()
    assert len(decode(copy, 96, 128)) == FRAMES


def test_a_reader_that_leaves_a_pipe_is_an_output_error(tmp_path, bars):
    pipe = tmp_path / "pipe.y4m"
    os.mkfifo(pipe)
    reader = subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'rb').read(10)"])
    with pytest.raises(OutputError, match="the reader closed the pipe"):
        write(pipe, lambda count: bars(count).repeat(40, 0))
    reader.wait(30)


def test_a_device_is_written_into_even_with_overwrite(tmp_path, bars):
    device = tmp_path / "null.mp4"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("making a device needs root")
    write(device, bars, overwrite=True)
    assert stat.S_ISCHR(device.stat().st_mode)
    write_file(device, "text")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert os.listdir(tmp_path) == ["null.mp4"]


def test_an_open_descriptor_is_written_into_by_any_name(tmp_path, bars, decode):
    for name in ("/dev/fd/{}", "/proc/self/fd/{}", f"{tmp_path}/link"):
        with (tmp_path / "a.y4m").open("wb") as file:
            target = name.format(file.fileno())
            if target.endswith("link"):
                os.symlink(f"/dev/fd/{file.fileno()}", target)
            inode = os.fstat(file.fileno()).st_ino
            write(target, bars, format="y4m")
        assert (tmp_path / "a.y4m").stat().st_ino == inode
        assert len(decode(tmp_path / "a.y4m", 96, 128)) == FRAMES
    with (tmp_path / "notes").open("ab") as file:
        write_file(Path(f"/dev/fd/{file.fileno()}"), "appended")
    assert (tmp_path / "notes").read_text() == "appended"


def test_descriptors_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no open file descriptor"):
        choose_sink("/dev/fd/987", OutputOptions(format="y4m"), os.environ)
    (tmp_path / "a").write_text("")
    with (
        (tmp_path / "a").open("rb") as file,
        pytest.raises(UsageError, match="open for reading only"),
    ):
        choose_sink(f"/dev/fd/{file.fileno()}", OutputOptions(format="y4m"), os.environ)


def test_formats_that_need_a_file_are_refused_on_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.webp")
    with pytest.raises(UsageError, match="webp cannot be written to a pipe") as refused:
        choose_sink(str(tmp_path / "pipe.webp"), OutputOptions(overwrite=True), os.environ)
    assert "--format mp4, mkv, webm, ts, gif, y4m or rgb" in refused.value.hint


def test_the_target_of_a_link_is_replaced_and_the_link_stays(tmp_path, bars, decode):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.mp4").symlink_to("disk/video.mp4")
    write(tmp_path / "link.mp4", bars)
    with pytest.raises(UsageError, match=r"link\.mp4 exists already"):
        write(tmp_path / "link.mp4", bars)
    write(tmp_path / "link.mp4", bars, overwrite=True)
    assert (tmp_path / "link.mp4").is_symlink()
    assert os.listdir(tmp_path / "disk") == ["video.mp4"]
    assert len(decode(tmp_path / "disk" / "video.mp4", 96, 128)) == FRAMES
    store = ResumeStore.for_output(str(tmp_path / "link.mp4"))
    assert store.folder == tmp_path / "disk" / "video.mp4.resume"
    (tmp_path / "frames").symlink_to("disk/frames")
    write(tmp_path / "frames" / "%d.png", bars)
    assert (tmp_path / "frames").is_symlink()
    assert len(os.listdir(tmp_path / "disk" / "frames")) == FRAMES
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    with pytest.raises(UsageError, match="leads to itself"):
        write(tmp_path / "loop.mp4", bars)


def test_a_folder_is_refused_before_anything_is_written(tmp_path, bars):
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        write(tmp_path / "a.mp4", bars, overwrite=True)
    assert os.listdir(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("50%_%03d.png", "50%_001.png"),
        ("100%d%%.png", "1001%.png"),
        ("%%%d.png", "%1.png"),
        ("%s%5d.png", "%s00001.png"),
        ("n" * 246 + "%05d.png", "n" * 246 + "00001.png"),
    ],
)
def test_percent_signs_and_long_names_of_images(tmp_path, bars, name, second):
    write(tmp_path / "f" / name, bars)
    assert len(os.listdir(tmp_path / "f")) == FRAMES
    assert second in os.listdir(tmp_path / "f")
    assert os.listdir(tmp_path) == ["f"]
    with pytest.raises(UsageError, match="exists already"):
        write(tmp_path / "f" / name, bars)
    write(tmp_path / "f" / name, bars, overwrite=True)


def test_a_percent_sign_in_a_video_name_is_no_sequence(tmp_path):
    assert ResumeStore.for_output(str(tmp_path / "50%.mp4")).folder == tmp_path / "50%.mp4.resume"
    assert copy_name("a%d.mp4", "keys") == "a%d.keys.mp4"
    assert copy_name("a/%d.png", "keys") == "a.keys/%d.png"
    for name in ("a.png", "%d-%d.png", "%%d.png", "%x.png"):
        assert FramePattern.parse(name) is None


def test_a_name_of_the_greatest_length_is_written_and_a_longer_one_refused(tmp_path, bars):
    limit = os.pathconf(tmp_path, "PC_NAME_MAX")
    name = "ä" * ((limit - 4) // 2) + ".mp4"
    assert len(os.fsencode(partial_name(tmp_path / name).name)) <= limit
    assert partial_name(tmp_path / name) != partial_name(tmp_path / f"ö{name[1:]}")
    write(tmp_path / name, bars)
    assert os.listdir(tmp_path) == [name]
    with pytest.raises(UsageError, match=f"bytes, the file system allows {limit}"):
        write(tmp_path / f"{'n' * limit}.mp4", bars)
    with pytest.raises(UsageError, match="the path has"):
        write(tmp_path / ("d/" * 2100) / "a.mp4", bars)
    with pytest.raises(UsageError, match="allows"):
        write(tmp_path / ("n" * 247 + "%05d.png"), bars)
    write_file(tmp_path / ("n" * limit), "text")
    assert sorted(os.listdir(tmp_path)) == sorted([name, "n" * limit])


@pytest.mark.parametrize(
    "targets",
    [
        ("d.mp4", "./d.mp4"),
        ("d.mp4", "link/d.mp4"),
        ("d.mp4", "d-link.mp4"),
        ("null:", "null:"),
        ("f/%d.png", "f/%03d.png"),
        ("pipe.mkv", "link/pipe.mkv"),
    ],
)
def test_outputs_in_the_same_place_are_refused(tmp_path, monkeypatch, targets):
    monkeypatch.chdir(tmp_path)
    os.symlink(".", "link")
    os.symlink("d.mp4", "d-link.mp4")
    os.mkfifo("pipe.mkv")
    with pytest.raises(UsageError, match=r"the same place as -o|given twice"):
        choose_sinks(targets, OutputOptions(), os.environ)


def test_outputs_in_different_places_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("link")
    check_distinct(
        ["d.mp4", "link/d.mp4", "d.mkv", "f/left-%d.png", "f/right-%d.png", "/dev/null", "/dev/null"]
    )


def test_the_refusal_names_the_other_output(tmp_path):
    first, second = f"{tmp_path}/d.mp4", f"{tmp_path}/./d.mp4"
    for earlier in ([], ["/dev/null"]):
        with pytest.raises(UsageError) as refused:
            check_distinct([*earlier, first, second])
        assert str(refused.value) == f"-o {second}: the same place as -o {first}"
    with pytest.raises(UsageError) as refused:
        check_distinct([first, first], option="--keys")
    assert str(refused.value) == f"--keys {first}: given twice"


def test_an_output_named_as_a_segment_of_a_playlist_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"d.0.ts: a segment of -o \S*/d.m3u8 can have this name"):
        check_distinct([f"{tmp_path}/d.0.ts", f"{tmp_path}/d.m3u8"])
    with pytest.raises(UsageError, match=r"d.M3U8: its segments have the names of those of -o \S*/d.m3u8"):
        check_distinct([f"{tmp_path}/d.m3u8", f"{tmp_path}/d.M3U8"])
    check_distinct(
        [f"{tmp_path}/{name}" for name in ("d.m3u8", "d0.ts", "d.ts", "e.0.ts", "f/d.0.ts", "d.0.m3u8")]
    )


def test_names_made_from_an_output():
    partial = [partial_name(Path(name)).as_posix() for name in ("w/a.b.mp4", "a.m3u8", "A.M3U8", "a")]
    assert partial == ["w/a.b.partial.mp4", "a.m3u8.partial.ts", "A.M3U8.partial.ts", "a.partial"]
    assert [segment_stem(Path(name)) for name in ("w/a.m3u8", "a b.m3u8", "5%~.m3u8")] == [
        *("a", "a~20b", "5~25~7e"),
    ]
    subtitles = [
        subtitle_name(name).as_posix() for name in ("w/a.b.mp4", "w/a/%05d.png", "%d.png", "a%d.mp4")
    ]
    assert subtitles == ["w/a.b.srt", "w/a.srt", "frames.srt", "a%d.srt"]
    folders = ("w/a/%05d.png", "w/a/left-%05d.png", "w/a/_.%d.png", "%d.png", "w/a/b.png")
    assert [sequence_folder(Path(name), "partial").as_posix() for name in folders] == [
        *("w/a.partial", "w/a.left.partial", "w/a.partial", "frames.partial", "w/a.partial"),
    ]


def test_names_of_incomplete_outputs():
    complete = ("a.mp4", "partial.mp4", "a.partial/b.mp4", "a/%d.partial.png", "a.partial.b.mp4")
    incomplete = ("a.partial.mp4", "a.Partial.mkv", "a.partial/%d.png")
    assert [is_partial_name(name) for name in (*complete, *incomplete)] == [False] * 5 + [True] * 3


def test_names_of_the_images_of_a_sequence():
    targets = ["a.mp4", "out/f-%02d.png", "other/%d.png"]
    assert sequence_names(targets, Path("site"), 3) == [f"../out/f-0{number}.png" for number in range(3)]
    assert sequence_names(["%d.png"], Path(), 1) == ["./0.png"]
    assert sequence_names(["a.mp4"], Path("site"), 3) is None


@pytest.mark.parametrize("name", ["a.partial.mp4", "a.partial/%d.png", "A.PARTIAL.mkv"])
def test_names_of_unfinished_videos_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match="not complete yet"):
        choose_sink(str(tmp_path / name), OutputOptions(), os.environ)
