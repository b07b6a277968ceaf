"""Every format with the real ffmpeg: all frames are there, complete and in the right colours."""

import os
from fractions import Fraction

import numpy as np
import pytest

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink, choose_sinks

FRAMES = 21


def write(folder, name, video, **options):
    sink = choose_sink(str(folder / name), OutputOptions(**options), os.environ)
    sink.open(VideoInfo(video.shape[1], video.shape[2], Fraction(16), len(video)))
    for first in range(0, len(video), 13):
        sink.write(video[first : first + 13])
    sink.close()
    return folder / name


# The error allowed inside the bars, of 255; over all, half-resolution chroma costs more at their edges.
@pytest.mark.parametrize(
    ("name", "options", "codec", "bound"),
    [
        ("a.mp4", {}, "h264", 3),
        ("a.mp4", {"quality": "draft"}, "h264", 4),
        ("a.mp4", {"quality": "master"}, "h264", 0),
        ("a.mp4", {"codec": "x265"}, "hevc", 3),
        ("a.mp4", {"codec": "av1"}, "av1", 4),
        ("a.mkv", {"crf": 10}, "h264", 3),
        ("a.mkv", {"quality": "master"}, "ffv1", 0),
        ("a.webm", {}, "vp9", 4),
        ("a.webm", {"quality": "draft"}, "vp9", 6),
        ("a.gif", {}, "gif", 2),
        ("a.y4m", {}, "rawvideo", 3),
        ("a.ts", {}, "h264", 3),
        ("a.m3u8", {}, "h264", 3),
        ("%03d.png", {}, "png", 0),
        ("%03d.jpg", {}, "mjpeg", 1),
    ],
)
def test_a_video_decodes_to_its_frames(tmp_path, bars, decode, probe, name, options, codec, bound):
    video = bars(FRAMES)
    (tmp_path / "out").mkdir()
    path = write(tmp_path / "out", name, video, **options)
    seen = decode(path, 96, 128).astype(int)
    assert seen.shape == video.shape
    assert abs(seen - video).mean() <= 2 * bound
    # Inside a bar nothing is blurred: the wrong colour matrix would be off by 20 and more here.
    middles = [int((bar + 0.5) * 128 / 7) for bar in range(7)]
    assert abs(seen - video)[:, 4:40, middles].max() <= bound
    asked = probe(path)["video"]
    assert asked["codec_name"] == codec
    assert int(asked["nb_read_frames"]) == FRAMES
    if codec in ("h264", "hevc", "vp9", "av1") and bound:
        assert asked["color_space"] == asked["color_primaries"] == asked["color_transfer"] == "bt709"
        assert asked["pix_fmt"] == "yuv420p"
    if not name.startswith("%") and codec != "gif":
        assert Fraction(asked["avg_frame_rate"]) == 16
    assert not list(tmp_path.glob("**/*.partial*"))


@pytest.mark.parametrize(("quality", "bound"), [("web", 5), ("master", 0)])
def test_an_animated_webp_decodes_to_its_frames(tmp_path, bars, quality, bound):
    from PIL import Image

    video = bars(FRAMES)
    with Image.open(write(tmp_path, "a.webp", video, quality=quality)) as image:
        seen = []
        for index in range(image.n_frames):
            image.seek(index)
            seen.append(np.asarray(image.convert("RGB"), int))
    assert len(seen) == FRAMES
    assert abs(np.stack(seen) - video).mean() <= bound


def test_raw_frames_are_the_frames(tmp_path, bars):
    video = bars(FRAMES)
    assert write(tmp_path, "a.rgb", video).read_bytes() == video.tobytes()


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.y4m"])
def test_odd_sizes_keep_every_pixel(tmp_path, bars, decode, name):
    video = bars(5, height=33, width=47)
    seen = decode(write(tmp_path, name, video), 34, 48).astype(int)
    assert abs(seen[:, :33, :47] - video).mean() <= 12
    assert abs(seen[:, 33] - seen[:, 32]).mean() <= 4


def test_names_that_look_like_protocols_and_patterns(tmp_path, bars, decode):
    folder = tmp_path / "50%d off"
    folder.mkdir()
    video = bars(3)
    assert len(decode(f"file:{write(folder, 'take: 2.mp4', video)}", 96, 128)) == 3
    write(folder / "shots", "s%02d.png", video)
    assert sorted(path.name for path in (folder / "shots").iterdir()) == ["s00.png", "s01.png", "s02.png"]


def test_a_sequence_in_the_working_folder(tmp_path, bars, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path.relative_to(tmp_path), "s%d.png", bars(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s0.png", "s1.png"]


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("film.avi", {}, "unknown file extension"),
        ("film", {}, "unknown file extension"),
        ("film.mp4", {"quality": "best"}, "--quality best"),
        ("film.gif", {"quality": "master"}, "gif is not lossless"),
        ("film.webm", {"codec": "x264"}, "--codec x264"),
        ("film.mp4", {"quality": "master", "codec": "x264"}, "not lossless"),
        ("film.gif", {"crf": 3}, "--crf 3"),
        ("film", {"format": "avi"}, "--format avi"),
        ("film.mp4", {"format": "mkv"}, "known file extension"),
        ("film.png", {}, "sequence"),
        ("%d-%d.png", {}, "sequence"),
        ("-", {}, "--format"),
        ("-", {"format": "png"}, "standard output"),
    ],
)
def test_unsupported_outputs_are_refused(name, options, error):
    with pytest.raises(UsageError, match=error):
        choose_sinks([name], OutputOptions(**options), os.environ)


def test_a_format_applies_to_names_without_an_extension(tmp_path, bars, decode):
    both = choose_sinks(
        [str(tmp_path / "clip"), str(tmp_path / "b.webm")], OutputOptions(format="mkv"), os.environ
    )
    both.open(VideoInfo(96, 128, Fraction(16), 3))
    both.write(bars(3))
    both.close()
    assert (tmp_path / "clip").read_bytes()[:4] == (tmp_path / "b.webm").read_bytes()[:4]  # both Matroska
    assert len(decode(tmp_path / "clip", 96, 128)) == 3
