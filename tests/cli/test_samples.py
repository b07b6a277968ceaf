"""Samples and recipes come with the package: listed, copied, and named in any folder."""

import json
import os
import subprocess
import sys

import pytest

from lingbot_cli.cli.options import camera_source, image_file, is_timeline_file
from lingbot_cli.sample_files import FIRST_IMAGE, find_input, find_inputs, sample_names
from tests.support.command import lingbot


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_of_render_works_in_every_folder(elsewhere):
    refused = lingbot("render")
    assert refused.code == 2
    command = refused.stderr.partition("such as: lingbot ")[2].split()
    done = lingbot(*command, "--duration", "5f", "--size", "32x32", "--json")
    assert done.code == 0
    assert json.loads(done.stdout.splitlines()[-1])["frames"] == 5
    assert [path.name for path in elsewhere.iterdir()] == ["walk.mp4"]


@pytest.mark.usefixtures("elsewhere")
def test_recipes_are_found_by_a_pattern_too():
    checked = json.loads(lingbot("timeline", "check", "recipes/*.yaml", "--json").stdout)
    assert len(checked) >= 5
    assert [each["errors"] for each in checked] == [[]] * len(checked)
    jobs = lingbot("batch", "recipes/batch/seeds.yaml", "--allow-outside", "--dry-run")
    assert "12 videos" in jobs.stdout


def test_a_timeline_cuts_to_a_sample_in_every_folder(elsewhere):
    events = "events: [{keys: w, for: 1s}, {cut: samples/courtyard-night.png}, {keys: w, for: 1s}]"
    (elsewhere / "walk.yaml").write_text(events)
    done = lingbot("timeline", "check", "walk.yaml")
    assert done.code == 0, done.stdout


def test_a_file_of_that_name_goes_before_the_package(elsewhere):
    assert find_input(FIRST_IMAGE) != FIRST_IMAGE
    (elsewhere / "samples").mkdir()
    (elsewhere / FIRST_IMAGE).touch()
    assert str(image_file(FIRST_IMAGE)) == FIRST_IMAGE
    assert find_inputs("samples/none.png") == ["samples/none.png"]
    assert find_inputs("walk.yaml") == ["walk.yaml"]
    assert find_inputs("samples/../../secret") == ["samples/../../secret"]


@pytest.mark.parametrize("text", ["w-5," * 2000, "samples/" + "x" * 300, "samples/**.yaml", "samples/\0"])
def test_no_argument_is_too_odd_to_be_looked_for(text):
    assert find_inputs(text) == [text]


@pytest.mark.usefixtures("elsewhere")
def test_moves_of_any_length_are_no_file():
    moves = ",".join(["w-4"] * 1200)
    assert camera_source(moves) == {"moves": moves}
    assert not is_timeline_file(moves)
    for refused in (
        lingbot("timeline", "check", "x" * 300 + ".yaml"),
        lingbot("render", FIRST_IMAGE, "--poses", "x" * 300),
    ):
        assert refused.code == 2
        assert "file name too long" in refused.stderr.lower()


def test_samples_are_listed_and_copied(elsewhere):
    listed = lingbot("samples").stdout.splitlines()
    assert [line.split()[0] for line in listed] == sample_names()
    assert any("A first walk: forward" in line for line in listed)
    assert lingbot("samples", "mine").code == 0
    copied = {path for path in (elsewhere / "mine").rglob("*") if path.is_file()}
    assert copied == {elsewhere / "mine" / name for name in sample_names()}
    refused = lingbot("samples", "mine")
    assert refused.code == 2
    assert "--overwrite" in refused.stderr
    assert lingbot("samples", "mine", "--overwrite").code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("render", "samples/courtyard-d"), {"samples/courtyard-day.png", "samples/courtyard-dusk.png"}),
        (("play", "ph"), set()),  # files are left to the shell
        (("render", "photo.png", "-t", "recipes/first"), {"recipes/first-walk.yaml"}),
        (("timeline", "plan", "photos/w"), set()),
        (("play", "samples/sea"), {"samples/sea-gate-day.png"}),
        (("render", "--model", "lingbot-world-f"), {"lingbot-world-fast"}),
    ],
)
def test_the_shell_completes_samples_and_models(elsewhere, words, expected):
    (elsewhere / "photos").mkdir()
    for name in ("photo.png", "photos/walk.yaml", "other.png"):
        (elsewhere / name).touch()
    asked = {"_LINGBOT_COMPLETE": "complete_bash", "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-m", "lingbot_cli"], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **asked, "COMP_WORDS": " ".join(("lingbot", *words))},
    )  # fmt: skip
    assert set(done.stdout.split()) == expected, done.stderr
