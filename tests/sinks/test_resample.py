"""Frame rates of outputs: frames dropped evenly, and sizes and rates of the encoded video."""

from fractions import Fraction

import numpy as np
import pytest

from lingbot_cli.sinks.base import NullSink, VideoInfo
from lingbot_cli.sinks.resample import MaxRateSink, rate_notes
from lingbot_cli.sinks.rescale import Rescale


class Recorder(NullSink):
    """Sink that remembers its video and the numbers of its frames."""

    name = "recorder"

    def __init__(self):
        self.numbers, self.video = [], None

    def open(self, video):
        self.video = video

    def write(self, frames):
        self.numbers += frames[:, 0, 0, 0].tolist()

    def resumable_frames(self, _video, limit):
        return {self.name: limit}


def recorded(fps, most, frames, chunk=3):
    recorder = Recorder()
    sink = MaxRateSink(recorder, most)
    sink.open(VideoInfo(1, 1, Fraction(fps), frames))
    numbers = np.arange(frames, dtype=np.uint8)[:, None, None, None]
    for at in range(0, frames, chunk):
        sink.write(numbers[at : at + chunk])
    return recorder


@pytest.mark.parametrize(
    ("fps", "most", "expected"),
    [
        (16, 16, list(range(12))),
        (16, 50, list(range(12))),
        (16, 8, [0, 2, 4, 6, 8, 10]),
        (24, 16, [0, 1, 3, 4, 6, 7, 9, 10]),
        (16, 5, [0, 3, 6, 9]),
    ],
)
def test_frames_are_dropped_evenly(fps, most, expected):
    for chunk in (1, 3, 12):
        found = recorded(fps, most, 12, chunk)
        assert found.numbers == expected
        assert found.video.fps == min(fps, most)
        assert found.video.frames == len(expected)


def test_a_video_with_dropped_frames_is_not_resumed():
    sink = MaxRateSink(Recorder(), 16)
    assert sink.resumable_frames(VideoInfo(1, 1, Fraction(24), 9), 5) == {"recorder": 0}
    assert sink.resumable_frames(VideoInfo(1, 1, Fraction(16), 9), 5) == {"recorder": 5}


def test_formats_of_a_lower_rate_are_noted():
    assert rate_notes(["a.mp4", "b.gif", "null:"], 50) == []
    (note,) = rate_notes(["a.mp4", "b.gif"], 59.94)
    assert note == "b.gif: 50 of 59.94 frames per second, the most that gif players show"


def test_the_encoded_video_of_another_size_and_rate():
    video = VideoInfo(48, 64, Fraction(16), 9)
    assert Rescale().applied(video) == video
    assert Rescale().filters(video) == []
    larger = Rescale(factor=3)
    assert (larger.applied(video).width, larger.applied(video).height) == (192, 144)
    assert larger.filters(video) == ["scale=192:144:flags=lanczos"]
    assert Rescale(size=(64, 48)).filters(video) == []
    assert Rescale(size=(64, 50), scaler="bicubic").filters(video) == ["scale=64:50:flags=bicubic"]
    faster = Rescale(fps=Fraction(24))
    assert (faster.applied(video).fps, faster.applied(video).frames) == (24, 14)
    assert faster.applied(VideoInfo(48, 64, Fraction(16), None)).frames is None
    assert faster.encoded_frames(16, Fraction(16)) == 24
    (interpolation,) = faster.filters(video)
    assert interpolation == "tpad=stop_mode=clone:stop=2,format=yuv444p,minterpolate=fps=24:mi_mode=mci"
