"""`lingbot show`: metadata, and the command that renders the video again."""

import json
import shlex
from dataclasses import fields

import pytest
from PIL import Image

from lingbot_cli.errors import UsageError
from lingbot_cli.render.metadata import RECIPE_FLAGS, read_recipe
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.ffmetadata import metadata_text, parse_tags
from tests.support.command import lingbot
from tests.support.reference import sample_image

TIMELINE = 'timeline: 1\nprompt: "a = b; c # d"\nevents:\n  - {keys: w, for: 12f}  # ö\n  - marker: end\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(sample_image(40, 48)).save(tmp_path / "first.png")
    (tmp_path / "walk.yaml").write_text(TIMELINE)
    return tmp_path


def latents(done):
    assert done.code == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["latents"]


def test_a_sink_of_0_stays_among_the_flags():
    assert ModelOptions(sink=0, threads=2).flags() == {"sink": 0, "threads": 2}


def test_the_recipe_in_a_film_renders_it_again(folder):
    arguments = ("first.png", "-t", "walk.yaml", "--size", "32x32", "--seed", "7", "-o", "film.mkv")
    first = lingbot("render", *arguments, "--quality", "master", "--json")
    (folder / "walk.yaml").write_text(TIMELINE.replace("keys: w", "keys: s"))
    said = lingbot("show", "film.mkv").stdout
    assert "built-in" in said
    assert "first.png (unchanged)" in said
    show, render = (shlex.split(line) for line in said.splitlines()[-2:])
    assert render[:3] == ["lingbot", "render", "first.png"]
    assert lingbot(*show[1:], "--overwrite").code == 0
    assert (folder / "film.yaml").read_text() == TIMELINE
    assert lingbot(*show[1:]).code == 2
    assert latents(lingbot(*render[1:], "--json")) == latents(first)
    other = [word if word != "7" else "8" for word in render[1:]]
    assert latents(lingbot(*other, "--overwrite", "--json")) != latents(first)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["film.mp4", "film.webm"])
def test_every_container_that_can_carries_it(name):
    render = ("render", "first.png", "--moves", "w-3", "--size", "32x32", "-o", name)
    assert lingbot(*render, "--prompt", "quiet", "--seed", "0").code == 0
    recipe = json.loads(lingbot("show", name, "--json").stdout)
    assert recipe["image"] == "first.png"
    flags = {
        "moves": "w-3",
        "prompt": "quiet",
        "fps": 16,
        "size": "32x32",
        "seed": 0,
        "precision": "float32",
        "kernel": "torch",
    }
    assert int(recipe["flags"].pop("threads")) >= 1
    assert recipe["flags"] == {**flags, "quality": "web"}
    assert recipe["model"]["preset"]["name"] == "built-in"
    assert len(recipe["model"]["identity"]) == 32
    assert set(recipe["versions"]) == {"lingbot", "torch", "python"}
    assert lingbot("show", name, "--timeline", "-").code == 2
    assert lingbot(*render, "--no-metadata", "--overwrite").code == 0
    bare = lingbot("show", name)
    assert (bare.code, "no recipe in its metadata" in bare.stderr) == (2, True)


def test_no_secret_gets_into_a_film(folder):
    url = "rtmp://live.example/app/sekrit-key and token=abcdef"
    said = lingbot(
        *("render", "first.png", "--moves", "w-3", "--size", "32x32", "-o", "film.mkv"),
        *("--prompt", f"a sign that reads {url}", "--json"),
    )
    assert said.code == 0
    assert b"sekrit" not in (folder / "film.mkv").read_bytes()
    assert "sekrit" not in said.stdout + said.stderr + lingbot("show", "film.mkv").stdout


def test_what_is_no_film(folder):
    (folder / "text.mp4").write_text("not a film")
    for name, said in {
        "text.mp4": "not a readable video",
        "none.mp4": "no such file",
        "first.png": "no recipe",
    }.items():
        done = lingbot("show", name)
        assert done.code == 2
        assert said in done.stderr


def test_tags_are_read_as_they_were_written():
    tags = {"a=b": "c;d#e\nf\\g\\", "empty": "", "lingbot": "{}"}
    film = VideoInfo(16, 16, 16, 9, (Chapter(0, "title=x"),), tags)
    assert parse_tags(metadata_text(film)) == tags
    assert parse_tags("") == {}


DAMAGED = {"recipe": 1, "image": "a.png", "flags": {}, "timeline": None, "files": {}, "versions": {}}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"model": {}},
        {"model": {"preset": {"name": 3}, "identity": ""}},
        {"model": {"preset": {"name": "x"}, "identity": ""}, "flags": []},
        {"model": {"preset": {"name": "x"}, "identity": ""}, "timeline": 5},
        {"model": {"preset": {"name": "x"}, "identity": ""}, "flags": {"timeline": "a.yaml"}},
        {"model": {"preset": {"name": "x"}, "identity": ""}, "image": 3},
    ],
)
def test_a_damaged_recipe_is_refused(tmp_path, change):
    with pytest.raises(UsageError, match="unreadable recipe"):
        read_recipe({"lingbot": json.dumps(DAMAGED | change)}, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recipe": 99}', "{"])
def test_a_recipe_that_is_none(tmp_path, text):
    with pytest.raises(UsageError):
        read_recipe({"lingbot": text}, tmp_path)


def test_every_option_of_the_model_is_part_of_the_command():
    names = {field.name.replace("_", "-") for field in fields(ModelOptions)}
    assert names - RECIPE_FLAGS == {"notes"}
