"""Size and rate of the encoded video other than the rendered ones: --upscale, --output-size and --interpolate."""

import json
import os
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink
from lingbot_cli.sinks.rescale import Rescale
from tests.support.command import lingbot
from tests.support.reference import sample_image

FRAMES = 20
VIDEO = VideoInfo(48, 64, Fraction(16), FRAMES, (Chapter(0, "gate"), Chapter(8, "sea")), {"lingbot": "{}"})


def write(path, frames, rescale, **options):
    sink = choose_sink(str(path), OutputOptions(rescale=rescale, **options), os.environ)
    sink.open(VIDEO)
    sink.write(frames)
    sink.close()


def test_neighbor_repeats_every_pixel(tmp_path, bars, decode):
    frames = bars(FRAMES, 48, 64)
    write(tmp_path / "a.mkv", frames, Rescale(3, scaler="neighbor"), quality="master")
    assert np.array_equal(decode(tmp_path / "a.mkv", 144, 192), frames.repeat(3, 1).repeat(3, 2))


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.y4m", "%03d.png"])
def test_an_output_size_of_any_shape(tmp_path, bars, probe, name):
    write(
        tmp_path / "out" / name if "%" in name else tmp_path / name,
        bars(FRAMES, 48, 64),
        Rescale(size=(101, 75)),
    )
    found = tmp_path / "out" / "000.png" if "%" in name else tmp_path / name
    video = probe(found)["video"]
    even = 0 if "%" in name else 1  # 4:2:0 needs even sides
    assert (video["width"], video["height"]) == (101 + even, 75 + even)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
@pytest.mark.parametrize("fps", [48, 24, 60])
def test_interpolation_has_the_frames_and_chapters_of_the_same_time(tmp_path, bars, read_times, name, fps):
    write(tmp_path / name, bars(FRAMES, 48, 64), Rescale(2, fps=Fraction(fps)), quality="draft")
    start, times, chapters = read_times(tmp_path / name)
    assert start == 0
    assert len(times) == FRAMES * fps / 16
    assert np.allclose(times, np.arange(len(times)) / fps, atol=1.1e-3, rtol=0)
    assert np.allclose(chapters, [0, 0.5], atol=1e-3)


def test_interpolated_images_have_every_number(tmp_path, bars):
    write(tmp_path / "out" / "%03d.png", bars(FRAMES, 48, 64), Rescale(fps=Fraction(32)))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{i:03d}.png" for i in range(40)]


def test_gif_is_not_interpolated_beyond_its_rate():
    with pytest.raises(UsageError, match="at most 50"):
        choose_sink("a.gif", OutputOptions(rescale=Rescale(fps=Fraction(60))), os.environ)


def test_a_render_is_the_same_and_its_metadata_says_how_it_is_encoded(tmp_path, probe):
    Image.fromarray(sample_image(40, 48)).save(tmp_path / "first.png")
    arguments = ("render", str(tmp_path / "first.png"), "--moves", "w-9", "--size", "48x32", "--json", "-o")
    plain = lingbot(*arguments, str(tmp_path / "a.mp4"))
    large = lingbot(*arguments, str(tmp_path / "b.mp4"), "--upscale", "4", "--interpolate", "32")
    hashes = [json.loads(done.stdout.splitlines()[-1])["latents"] for done in (plain, large)]
    assert hashes[0] == hashes[1]
    video = probe(tmp_path / "b.mp4")["video"]
    assert (video["width"], video["height"], int(video["nb_read_frames"])) == (192, 128, 18)
    assert "--upscale 4 --interpolate 32" in lingbot("show", str(tmp_path / "b.mp4")).stdout.splitlines()[-1]


def test_a_stream_is_enlarged(tmp_path, probe):
    Image.fromarray(sample_image(40, 48)).save(tmp_path / "first.png")
    target = str(tmp_path / "a.mp4")
    done = lingbot("stream", str(tmp_path / "first.png"), "--moves", "w-9", "--size", "48x32", "--to", target,
                   "--output-size", "320x240")  # fmt: skip
    assert done.code == 0, done.stderr
    assert (probe(target)["video"]["width"], probe(target)["video"]["height"]) == (320, 240)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--upscale", "2", "--output-size", "640x360"), "exclude each other"),
        (("--scaler", "lanczos"), "--scaler needs --upscale or --output-size"),
    ],
)
def test_contradictory_sizes_are_refused(flags, message):
    done = lingbot("render", "samples/courtyard-day.png", "--moves", "w-9", *flags, "--dry-run")
    assert done.code == 2
    assert message in done.stderr
