"""Videos of frame rates that are no whole number."""

import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.timeline.times import exact_fps, parse_fps
from tests.support.command import lingbot
from tests.support.reference import sample_image


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
