"""The duration that a dry run predicts comes from the last such video on this machine."""

import json

import pytest

from lingbot_cli.render.dry_run import SPEEDS_FILE
from lingbot_cli.ui.progress import ProgressMeter, RenderSpeed
from tests.support.command import lingbot

FILM = ("render", "samples/courtyard-day.png", "--moves", "w-45", "--size", "64x48", "--device", "cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def planned(*more):
    return json.loads(lingbot(*FILM, *more, "-o", "null:", "--dry-run", "--json").stdout)["seconds"]


def test_the_seconds_are_those_of_the_last_such_film(folder):
    assert "time: unknown before the first such video" in lingbot(*FILM, "-o", "null:", "--dry-run").stdout
    assert planned() is None
    made = lingbot(*FILM, "-o", "null:")
    assert made.code == 0, made.stderr
    (kind, found), *none = json.loads((folder / SPEEDS_FILE).read_text()).items()
    assert not none
    assert (found["first"], found["start"] > 0, found["fps"] > 0) == (9, True, True)
    (folder / SPEEDS_FILE).write_text(json.dumps({kind: {"start": 4.0, "first": 9, "fps": 12.0}}))
    assert planned() == 7.0  # 4 s until 9 of the 45 frames are there, the others at 12 a second
    assert planned("--seed", "7") == 7.0
    for unlike in (("--window", "9"), ("--size", "48x64"), ("--decode", "bfloat16"), ("--frames", "9:12")):
        assert planned(*unlike) is None
    said = lingbot(*FILM, "-o", "null:", "--dry-run").stdout
    assert "time: about 7.0 s, 4.0 s of it to the first chunk, at the 12.0 fps of the last such video" in said


def test_a_film_of_two_chunks_says_nothing_of_speed(folder):
    short = tuple("w-20" if part == "w-45" else part for part in FILM)
    assert lingbot(*short, "-o", "null:").code == 0
    assert not (folder / SPEEDS_FILE).exists()


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', '{"a": {"fps": 0}}'])
def test_a_damaged_file_is_written_anew(folder, content):
    folder.mkdir()
    (folder / SPEEDS_FILE).write_text(content)
    assert planned() is None
    assert lingbot(*FILM, "-o", "null:").code == 0
    assert planned() > 0


def test_the_meter_leaves_the_first_chunk_out_of_the_rate():
    moments = iter([0.0, 6.0, 7.0, 8.0])
    meter = ProgressMeter(16, 3, 33, lambda: next(moments))
    for frames in (9, 12, 12):
        meter.count(frames)
    assert meter.speed(since=-1.0) == RenderSpeed(start=7.0, first=9, fps=12.0)
    assert meter.speed(since=-1.0).seconds(33) == 9.0
