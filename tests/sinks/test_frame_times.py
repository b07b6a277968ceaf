"""Times of frames and chapters in every format, as ffprobe reads them."""

import os
import struct
import subprocess
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from lingbot_cli.sinks import concat
from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink
from lingbot_cli.sinks.resample import MaxRateSink, rate_notes

FRAMES = 41
CHAPTERS = (Chapter(0, "gate"), Chapter(13, "tower"), Chapter(30, "sea"))
VIDEO = VideoInfo(96, 128, Fraction(16), FRAMES, CHAPTERS, {"lingbot": "{}"})
TIME_BASES = {
    "mkv": 1000,
    "webm": 1000,
    "gif": 100,
    "ts": 90000,
}  # units a second of formats that round times


def write(path, bars, video=VIDEO, **options):
    sink = choose_sink(str(path), OutputOptions(**options), os.environ)
    sink.open(video)
    sink.write(bars(FRAMES))
    return sink


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("a.mp4", {"quality": "draft"}),
        ("a.mp4", {"codec": "x265"}),
        ("a.mp4", {"codec": "av1"}),
        ("a.mp4", {"quality": "master"}),
        ("a.mkv", {}),
        ("a.mkv", {"codec": "x265"}),
        ("a.webm", {}),
        ("a.gif", {}),
        ("a.y4m", {}),
        ("a.ts", {}),
    ],
)
@pytest.mark.parametrize("target", ["file", "stream"])
def test_every_frame_and_chapter_has_its_time(tmp_path, bars, read_times, name, options, target):
    path = tmp_path / name
    if target == "file":
        write(path, bars, **options).close()
    else:
        with path.open("wb") as file:
            write(f"/dev/fd/{file.fileno()}", bars, format=path.suffix[1:], **options).close()
    start, frames, chapters = read_times(path)
    exact = 0.501 / TIME_BASES[path.suffix[1:]] if path.suffix[1:] in TIME_BASES else 1e-6
    assert start == 0
    assert np.allclose(frames, np.arange(FRAMES) / 16, atol=exact, rtol=0)
    if path.suffix not in (".gif", ".y4m", ".ts"):
        assert np.allclose(chapters, [chapter.start / 16 for chapter in CHAPTERS], atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_an_interrupted_file_has_the_same_times(tmp_path, bars, read_times, name):
    sink = write(tmp_path / name, bars)
    sink.encoder.wait_encoded(FRAMES - 9, 30)
    sink.encoder._child.kill()
    sink.encoder._child.wait(30)
    sink.abort()
    start, frames, chapters = read_times(tmp_path / name.replace(".", ".partial."))
    assert start == 0
    assert len(frames) >= FRAMES - 16
    assert np.allclose(frames, np.arange(len(frames)) / 16, atol=1e-3, rtol=0)
    assert np.allclose(chapters, [chapter.start / 16 for chapter in CHAPTERS], atol=1e-3, rtol=0)


def top_boxes(data):
    """Return the types of an MP4 file's boxes, in order."""
    kinds, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        kinds.append(kind.decode())
        at += size
    return kinds


def test_a_complete_mp4_has_its_index_first_and_plays_from_a_pipe(tmp_path, bars, decode, ffmpeg, read_times):
    write(tmp_path / "a.mp4", bars).close()
    data = (tmp_path / "a.mp4").read_bytes()
    assert [kind for kind in top_boxes(data) if kind != "free"] == ["ftyp", "moov", "mdat"]
    assert os.listdir(tmp_path) == ["a.mp4"]
    seen = decode(tmp_path / "a.mp4", 96, 128).astype(int)
    assert abs(seen - bars(FRAMES)).mean() <= 6
    piped = subprocess.run(
        [ffmpeg, "-v", "error", "-f", "mp4", "-i", "pipe:0", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"],
        input=data,
        capture_output=True,
        timeout=60,
    )
    assert (len(piped.stdout), piped.stderr) == (FRAMES * 96 * 128 * 3, b"")
    assert read_times(tmp_path / "a.mp4")[0] == 0


@pytest.mark.parametrize("fault", ["full", "stopped", "hanging"])
def test_a_file_whose_index_cannot_be_moved_is_complete_all_the_same(
    tmp_path, bars, monkeypatch, read_times, fault
):
    if fault == "full":
        monkeypatch.setattr(concat, "remux_args", lambda *_: ["/bin/false"])
    elif fault == "stopped":
        monkeypatch.setattr(concat, "remux_args", lambda *_: ["sleep", "60"])
        monkeypatch.setattr(concat, "stop_requested", lambda: True)
    else:
        monkeypatch.setattr(concat, "remux_args", lambda *_: ["sleep", "60"])
        monkeypatch.setattr(concat, "STALL_TIMEOUT_S", 0.3)
    write(tmp_path / "a.mp4", bars).close()
    kinds = top_boxes((tmp_path / "a.mp4").read_bytes())
    assert kinds.count("mdat") > 1
    assert os.listdir(tmp_path) == ["a.mp4"]
    start, frames, _ = read_times(tmp_path / "a.mp4")
    assert (start, len(frames)) == (0, FRAMES)


@pytest.mark.parametrize(("height", "matrix"), [(480, "bt601"), (720, "bt709")])
def test_y4m_has_the_colours_that_players_assume(tmp_path, ffmpeg, bars, height, matrix):
    sink = choose_sink(str(tmp_path / "a.y4m"), OutputOptions(), os.environ)
    sink.open(VideoInfo(height, 640, Fraction(16), 2))
    video = bars(2, height=height, width=640)
    sink.write(video)
    sink.close()
    scale = (
        f"scale=in_color_matrix={matrix}:in_range=limited:out_range=full:flags=accurate_rnd+full_chroma_int"
    )
    command = [ffmpeg, "-v", "error", "-i", str(tmp_path / "a.y4m"), "-vf", f"{scale},format=rgb24"]
    done = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True, timeout=60)
    seen = np.frombuffer(done.stdout, np.uint8).reshape(video.shape).astype(int)
    assert (
        abs(seen - video)[:, 4 : height // 2 - 4, [int((bar + 0.5) * 640 / 7) for bar in range(7)]].max() <= 3
    )


@pytest.mark.parametrize(("fps", "shown"), [(60, 35), (50, FRAMES), (120, 18), (30, FRAMES)])
def test_a_gif_shows_no_more_than_50_frames_a_second(tmp_path, bars, read_times, fps, shown):
    video = replace(VIDEO, fps=Fraction(fps))
    write(tmp_path / "a.gif", bars, video).close()
    start, frames, _ = read_times(tmp_path / "a.gif")
    rate = min(fps, 50)
    assert (start, len(frames)) == (0, shown)
    assert np.allclose(frames, np.arange(shown) / rate, atol=0.00501, rtol=0)
    assert bool(rate_notes(["a.gif", "a.mp4"], fps)) == (fps > 50)


def test_the_frames_of_a_resampled_gif_are_spread_evenly():
    class Kept:
        name, frames = "a.gif", ()

        def open(self, video):
            self.video = video

        def write(self, frames):
            self.frames += tuple(frames[:, 0, 0, 0])

    kept = Kept()
    sink = MaxRateSink(kept, 50)
    sink.open(VideoInfo(1, 1, Fraction(60), 14))
    numbers = np.arange(14, dtype=np.uint8)[:, None, None, None]
    for part in np.split(numbers, [1, 2, 9]):
        sink.write(part)
    assert kept.frames == (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13)
    assert (kept.video.fps, kept.video.frames) == (50, 12)
