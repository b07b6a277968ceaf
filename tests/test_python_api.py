"""Videos and sessions from Python, by the example of its page and against the command line."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lingbot_cli as lingbot
from lingbot_cli.errors import UsageError
from tests.support.command import lingbot as command

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
IMAGE = "samples/courtyard-day.png"


@pytest.fixture(scope="module")
def model():
    return lingbot.load("built-in", kernel="torch", threads=2)


def test_the_example_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S)[1]
    exec(compile(example, "example", "exec"), {})
    assert (tmp_path / "walk.mp4").stat().st_size > 1000
    assert capsys.readouterr().out.splitlines() == ["(64, 112, 3)"] * 16


def test_frames_are_those_of_the_command_line(tmp_path, model):
    video = model.render(IMAGE, "w-13", size="64x64", seed=7)
    assert (len(video), video.fps) == (13, 16)
    frames = list(video)
    assert len(frames) == 13
    arguments = ("--moves", "w-13", "--size", "64x64", "--seed", "7", "--kernel", "torch", "--threads", "2")
    done = command("render", IMAGE, *arguments, "-o", str(tmp_path / "%05d.png"))
    assert done.code == 0, done.stderr
    written = [np.asarray(Image.open(path)) for path in sorted(tmp_path.glob("*.png"))]
    np.testing.assert_array_equal(np.stack(frames), np.stack(written))


def test_an_array_is_an_image_and_a_video_shows_itself(model):
    array = np.asarray(Image.open(IMAGE).convert("RGB"))
    video = model.render(array, "w-5", size="32x32", fps="30000/1001")
    assert video.fps == pytest.approx(30000 / 1001)
    same = model.render(IMAGE, "w-5", size="32x32", fps=30000 / 1001)
    np.testing.assert_array_equal(np.stack(list(video)), np.stack(list(same)))
    assert video._repr_html_().startswith("<video controls")


def test_a_session_is_walked_step_by_step(model):
    live = model.session(IMAGE, prompt="a stone courtyard", size="32x32", seed=3)
    shapes = [live.step(keys="w").shape, live.step(keys="l").shape, live.step(prompt="it rains").shape]
    assert shapes == [(9, 32, 32, 3), (12, 32, 32, 3), (12, 32, 32, 3)]
    with pytest.raises(UsageError, match="unknown keys x"):
        live.step(keys="x")


def test_errors_name_the_problem(model):
    with pytest.raises(UsageError, match="no such file"):
        model.render("none.png", "w-5")
    with pytest.raises(UsageError, match="is not a move"):
        model.render(IMAGE, "walk")
    for wrong in ({"fps": 0}, {"fps": 1000}, {"fps": True}, {"duration": -1}, {"duration": "abc"}):
        with pytest.raises(UsageError, match=f"{next(iter(wrong))}: .*expected"):
            model.render(IMAGE, "w-5", **wrong)
    with pytest.raises(AttributeError):
        _ = lingbot.nothing
