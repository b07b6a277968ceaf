"""`lingbot render`, from the command line to the file, with the built-in model."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.command import lingbot
from tests.support.reference import sample_image

SMALL = ("--size", "32x32", "--quality", "master")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "first.png"
    Image.fromarray(sample_image(40, 48)).save(path)
    return path


@pytest.fixture
def timeline(tmp_path):
    path = tmp_path / "walk.yaml"
    path.write_text(
        "timeline: 1\nprompt: a court\nevents:\n  - {keys: w, for: 16f}\n  - marker: end\n  - {keys: w, for: 4f}\n"
    )
    return path


def frames(folder):
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def test_a_timeline_becomes_a_film_of_exactly_its_length(tmp_path, image, timeline):
    out = tmp_path / "film"
    done = lingbot(
        *("render", str(image), "-t", str(timeline), *SMALL, "-o", f"{out}.mp4", "-o", f"{out}/%03d.png"),
        *("-o", "null:", "--json"),
    )
    assert done.code == 0, done.stderr
    said = [each for line in done.stdout.splitlines() if (each := json.loads(line))["event"] != "note"]
    assert [each["event"] for each in said] == ["plan", "warning", "warning", "chunk", "chunk", "done"]
    assert "was not trained at 32x32" in said[1]["message"]
    assert "does not show the courtyard" in said[2]["message"]
    assert said[0] == said[0] | {"width": 32, "height": 32, "frames": 20, "chunks": 2, "fps": 16}
    assert said[4] == said[4] | {"chunk": 2, "chunks": 2, "frames": 20, "total": 20, "keys": "w"}
    assert said[5]["frames"] == 20
    film = frames(out)
    assert len(film) == 20
    assert film[0].shape == (32, 32, 3)
    assert (tmp_path / "film.mp4").stat().st_size > 1000
    again = lingbot(
        "render", str(image), "--moves", "w-20", "--prompt", "a court", *SMALL, "-o", "null:", "--json"
    )
    assert json.loads(again.stdout.splitlines()[-1])["frames"] == 20


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("first.png", "--moves", "w-5", "--size", "33x32"), 2, "multiples of 16"),
        (("none.png", "--moves", "w-5"), 2, "no such file"),
        (("text.png", "--moves", "w-5"), 2, "is not an image"),
        (("first.png",), 2, "--timeline"),
        (("first.png", "--moves", "w-5", "--poses", "p"), 2, "--moves and --poses exclude each other"),
        (("first.png", "--moves", "w-5", "-o", "first.png/film.mp4"), 4, "first.png is a file, not a folder"),
        (("first.png", "--moves", "w-5", "-o", "film.avi"), 2, "unknown file extension"),
        (("first.png", "--moves", "w-5", "-o", "first.mp4"), 2, "--overwrite"),
        (("first.png", "--moves", "w-5", "-o", "no/where.mp4"), 4, "does not exist"),
        (("first.png", "--moves", "w-5", "--model", "nowhere"), 2, "nowhere"),
        (("first.png", "--moves", "w-5", "--duration", "fast"), 2, "--duration: 'fast' is not a time"),
    ],
)
def test_mistakes_are_refused_before_anything_is_loaded(tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "first.mp4").write_text("mine")
    done = lingbot("render", *arguments)
    assert done.code == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "first.mp4").read_text() == "mine"
    assert not list(tmp_path.glob("*.partial*"))


def test_quiet_is_quiet_and_plain_lines_say_how_it_went(tmp_path, image):
    quiet = lingbot("render", str(image), "--moves", "w-3", *SMALL, "-o", "null:", "-q")
    assert (quiet.code, quiet.stdout) == (0, "")
    assert quiet.stderr.startswith("warning: ")  # the picture is of another place
    assert "chunk" not in quiet.stderr
    plain = lingbot("render", str(image), "--moves", "w-3", *SMALL, "-o", f"{tmp_path}/a.mkv")
    first, *_, chunk, last = plain.stderr.splitlines()
    assert first.startswith("32x32 · 3 frames")
    assert chunk.startswith("chunk 1/1 · ")
    assert " · 3 frames · " in chunk
    assert last.startswith(f"{tmp_path}/a.mkv: 3 frames, 0.2 s at 16 fps, rendered in ")


def test_what_a_shorter_duration_leaves_out_is_said(tmp_path, image):
    timeline = tmp_path / "t.yaml"
    timeline.write_text("events:\n  - {keys: w, for: 3f}\n  - {keys: l, for: 3f}\n")
    command = ("render", str(image), "--timeline", str(timeline), *SMALL, "--duration", "3f", "-o", "null:")
    said = "t.yaml:3: begins at frame 3, and the video ends at 3; it has no effect"
    assert f"note: {timeline.parent}/{said}" in lingbot(*command, "--dry-run").stdout
    done = lingbot(*command, "-o", f"{tmp_path}/a.mkv", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(said in event.get("message", "") for event in events)
    assert events[-1]["files"] == ["null:", f"{tmp_path}/a.mkv"]


def test_keys_are_drawn_on_a_copy_or_on_the_film(tmp_path, image):
    common = ("render", str(image), "--moves", "w-3", *SMALL)
    assert lingbot(*common, "-o", f"{tmp_path}/a/%d.png", "--overlay", "keys").code == 0
    assert lingbot(*common, "-o", f"{tmp_path}/b/%d.png", "--overlay", "burn").code == 0
    clean, copy, burnt = (frames(tmp_path / folder) for folder in ("a", "a.keys", "b"))
    assert len(clean) == len(copy) == len(burnt) == 3
    assert copy[0].shape == (384, 384, 3)
    assert burnt[0].shape == clean[0].shape
    assert (burnt[0] != clean[0]).any()
    assert lingbot(*common, "-o", "null:", "--overlay", "keys").code == 2


def test_json_says_how_it_failed(tmp_path, image):
    (tmp_path / "film.mp4").write_text("mine")
    done = lingbot("render", str(image), "--moves", "w-3", *SMALL, "-o", f"{tmp_path}/film.mp4", "--json")
    said = [each for line in done.stdout.splitlines() if (each := json.loads(line))["event"] != "note"]
    plan, _, error = said
    assert (done.code, plan["event"], error["event"]) == (2, "plan", "error")
    assert error["exit_code"] == 2
    assert "exists already" in error["message"]
    assert "--overwrite" in error["hint"]
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder nobody can write to")
def test_a_folder_that_takes_no_files(image):
    done = lingbot("render", str(image), "--moves", "w-3", *SMALL, "-o", "/proc/film.mp4")
    assert done.code == 4
    assert "/proc/film." in done.stderr
    assert "cannot be written" in done.stderr


def test_markers_become_chapters(tmp_path, image, timeline, probe):
    assert lingbot("render", str(image), "-t", str(timeline), *SMALL, "-o", f"{tmp_path}/a.mkv").code == 0
    before, chapter = probe(tmp_path / "a.mkv")["chapters"]
    assert before["tags"]["title"] == "start"
    assert chapter["tags"]["title"] == "end"
    assert float(before["start_time"]) == 0
    assert before["end_time"] == chapter["start_time"]


def test_a_piped_timeline_is_rendered_and_recorded(image, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("- {keys: w, for: 4f}\n",))
    writer.start()
    done = lingbot(
        "render", str(image), "-t", str(pipe), "--size", "32x32", "-o", str(tmp_path / "a.mp4"), "-q"
    )
    writer.join(30)
    assert done.code == 0, done.stderr
    shown = lingbot("show", str(tmp_path / "a.mp4"), "--timeline", str(tmp_path / "again.yaml"))
    assert shown.code == 0, shown.stderr
    assert (tmp_path / "again.yaml").read_text() == "- {keys: w, for: 4f}\n"


def test_standard_output_by_another_name_leaves_the_json_on_standard_error(image):
    command = [sys.executable, "-m", "lingbot_cli", "render", str(image), "--moves", "w-4", "--size", "32x32"]
    done = subprocess.run(
        [*command, "-o", "/dev/stdout", "--format", "y4m", "--json"],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"YUV4MPEG2")
    assert json.loads(done.stderr.splitlines()[-1])["event"] == "done"


def test_the_finished_video_is_opened(tmp_path, image):
    opener = tmp_path / "bin" / "xdg-open"
    opener.parent.mkdir()
    opener.write_text(
        f'#!/bin/sh\necho "$1" > {tmp_path}/opened.part && mv {tmp_path}/opened.part {tmp_path}/opened\n'
    )
    opener.chmod(0o755)
    short = ("render", str(image), "--moves", "w-8", "--prompt", "a court", *SMALL, "--open")
    out = tmp_path / "film.mp4"
    found = {**os.environ, "PATH": f"{opener.parent}:{os.environ['PATH']}"}
    run = [sys.executable, "-m", "lingbot_cli", *short, "-o", str(out)]
    done = subprocess.run(run, env=found, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for _ in range(200):
        if (tmp_path / "opened").exists():
            break
        time.sleep(0.05)
    assert (tmp_path / "opened").read_text().strip() == str(out)
    run[-1] = str(tmp_path / "other.mp4")
    done = subprocess.run(run, env={**found, "PATH": "/nowhere"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "no program was found to open" in done.stdout + done.stderr
    refused = lingbot(*short, "-o", "null:")
    assert refused.code == 2
    assert "--open: no output is a file" in refused.stderr
