"""Frame rates as people write them, and videos of such rates."""

import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.timeline.chunks import FrameGrid
from lingbot_cli.timeline.times import exact_fps, format_fps, parse_fps, parse_time
from tests.support.command import lingbot
from tests.support.reference import sample_image


@pytest.mark.parametrize(
    ("written", "rate", "shown"),
    [
        (16, Fraction(16), "16"),
        ("30", Fraction(30), "30"),
        (24.0, Fraction(24), "24"),
        ("29.97", Fraction(30000, 1001), "29.97"),
        (29.97, Fraction(30000, 1001), "29.97"),
        ("30000/1001", Fraction(30000, 1001), "29.97"),
        (30000 / 1001, Fraction(30000, 1001), "29.97"),
        ("23.976", Fraction(24000, 1001), "23.976"),
        ("23.98", Fraction(24000, 1001), "23.976"),
        (" 59.94 ", Fraction(60000, 1001), "59.94"),
        ("12.5", Fraction(25, 2), "12.5"),
        ("25/2", Fraction(25, 2), "12.5"),
    ],
)
def test_rates_are_exact_however_they_are_written(written, rate, shown):
    fps = parse_fps(written)
    assert (exact_fps(fps), format_fps(fps)) == (rate, shown)
    assert isinstance(fps, int) == (rate.denominator == 1)
    assert parse_fps(repr(fps)) == fps


@pytest.mark.parametrize(
    "written", ["", "x", "0", "0.5", "121", "30/0", "1e2", "-3", "nan", "29,97", True, None, []]
)
def test_no_rate(written):
    with pytest.raises(ValueError, match="; expected 1 to 120 frames per second"):
        parse_fps(written)


def test_an_hour_of_ntsc_has_107892_frames():
    frames = FrameGrid(parse_fps("29.97")).to_frames(parse_time("1:00:00"))
    assert frames == Fraction(3600 * 30000, 1001)
    assert round(frames) == 107892


@pytest.mark.parametrize("where", ["flag", "header"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.y4m"])
def test_a_video_at_29_97_is_at_30000_over_1001(tmp_path, monkeypatch, probe, read_times, where, name):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(sample_image(40, 48)).save("first.png")
    header = ", fps: 30000/1001" if where == "header" else ""
    events = "events: [{keys: w, for: 0.3s}, {marker: end}]"
    (tmp_path / "walk.yaml").write_text(f"timeline: 1{header.replace(', ', chr(10))}\n{events}\n")
    flags = ("--fps", "29.97") if where == "flag" else ()
    done = lingbot("render", "first.png", "-t", "walk.yaml", "--size", "32x32", *flags, "-o", name)
    assert done.code == 0, done.stderr
    assert "0.3 s at 29.97 fps" in done.stderr
    assert probe(tmp_path / name)["video"]["r_frame_rate"] == "30000/1001"
    start, frames, _ = read_times(tmp_path / name)
    assert (start, len(frames)) == (0, 9)
    assert np.allclose(frames, np.arange(9) * 1001 / 30000, atol=6e-4, rtol=0)
    if name == "a.y4m":
        return
    recipe = json.loads(lingbot("show", name, "--json").stdout)
    assert exact_fps(parse_fps(recipe["flags"]["fps"])) == Fraction(30000, 1001)
    assert "--fps 29.97" in lingbot("show", name).stdout


def test_a_resumed_video_and_every_listing_of_such_a_rate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(sample_image(40, 48)).save("first.png")
    (tmp_path / "walk.yaml").write_text(
        "timeline: 1\nfps: 23.976\nevents: [{keys: w, for: 1.5s}, {turn: {yaw: 9}, for: 1s}]\n"
    )
    (tmp_path / "jobs.yaml").write_text("jobs: [{image: first.png, timeline: walk.yaml, fps: 29.97}]\n")
    small = ("render", "first.png", "-t", "walk.yaml", "--size", "32x32", "-o", "a.mp4")
    whole = lingbot(*small, "--keep-latents", "--json")
    assert whole.code == 0, whole.stderr
    again = lingbot(*small, "--resume", "--overwrite", "--json")
    assert json.loads(again.stdout.splitlines()[-1])["resumed_frames"] > 0
    for words in (
        ("timeline", "plan", "walk.yaml"),
        ("timeline", "plan", "walk.yaml", "--json"),
        ("timeline", "show", "walk.yaml"),
        ("timeline", "show", "walk.yaml", "-o", "map.svg"),
        ("timeline", "check", "walk.yaml"),
        ("timeline", "animatic", "walk.yaml", "-o", "animatic.mp4", "--size", "128x96"),
        ("timeline", "convert", "walk.yaml", "--to", "jsonl"),
        ("timeline", "export", "walk.yaml", "-o", "poses"),
        ("batch", "jobs.yaml", "--dry-run"),
        ("stream", "first.png", "-t", "walk.yaml", "--size", "32x32", "--to", "null:", "--duration", "9f"),
    ):
        done = lingbot(*words)
        assert done.code == 0, (words, done.stderr)
