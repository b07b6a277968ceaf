"""A resumed video decodes and encodes only the missing frames, at any length."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.model.session import Session
from lingbot_cli.render.metadata import read_recipe
from lingbot_cli.sinks.ffmetadata import read_tags
from tests.support.command import lingbot
from tests.support.processes import never_created
from tests.support.reference import sample_image

SIZE = 32


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(sample_image(40, 48, 0)).save(tmp_path / "first.png")
    return tmp_path


def argv(folder, *more, outputs=("film.mkv",), moves="w-57"):
    said = ["render", str(folder / "first.png"), "--moves", moves, "--prompt", "a court", "--json"]
    said += ["--size", f"{SIZE}x{SIZE}", "--quality", "master"]
    return [*said, *(word for name in outputs for word in ("-o", str(folder / name))), *more]


def render(*args, **options):
    done = lingbot(*argv(*args, **options))
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def encoded_again(said):
    return [each["message"] for each in said if "encoded again" in each.get("message", "")]


def kill_after(folder, chunks, *more, **options):
    """Render, and kill the renderer when so many chunks are told of."""
    command = [sys.executable, "-m", "lingbot_cli", *argv(folder, *more, **options)]
    env = os.environ | {"PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if json.loads(line).get("chunk") == chunks:
                child.send_signal(signal.SIGKILL)
                break


def test_a_long_film_costs_no_more_decoding_than_a_short_one(folder, monkeypatch):
    decoded = []
    decode = Session.decode

    def counting(session, latents):
        decoded.append(latents.shape[1])
        return decode(session, latents)

    monkeypatch.setattr(Session, "decode", counting)
    counts = []
    for frames in (177, 273):  # 15 and 23 chunks, longer than the decoder sees
        outputs = (f"film-{frames}.mkv",)
        render(folder, "--keep-latents", outputs=outputs, moves=f"w-{frames}")
        decoded.clear()
        said = render(folder, "--resume", "--overwrite", outputs=outputs, moves=f"w-{frames + 12}")
        counts.append(sum(decoded))
        assert said[-1]["frames"] == frames + 12
        assert said[-1]["resumed_frames"] >= frames - 1
    assert counts[0] == counts[1]


def test_films_of_several_kinds_killed_twice_go_on_each_in_its_way(folder, decode):
    outputs = ("film.mkv", "film.mp4", "film/%03d.png")
    moves = "w-165"  # so long that the kills come far from its end
    whole = render(folder, outputs=("whole.mkv",), moves=moves)[-1]
    with never_created(folder / "film.mkv"):
        kill_after(folder, 2, outputs=outputs, moves=moves)
        kill_after(folder, 4, "--resume", outputs=outputs, moves=moves)
    said = render(folder, "--resume", outputs=outputs, moves=moves)
    assert said[-1]["latents"] == whole["latents"]
    assert 9 <= said[-1]["resumed_frames"] < 165
    assert not encoded_again(said)
    expected = decode(folder / "whole.mkv", SIZE, SIZE)
    assert len(expected) == 165
    for name in ("film.mkv", "film.mp4", "film/%03d.png"):
        assert np.array_equal(decode(folder / name, SIZE, SIZE), expected)
    assert not list(folder.glob("*.partial*")) + list(folder.glob("*.resume"))


def test_what_cannot_go_on_says_so_and_is_whole_all_the_same(folder, decode):
    outputs = ("film.mkv", "film.webp")
    kill_after(folder, 3, outputs=outputs)
    said = render(folder, "--resume", outputs=outputs)
    assert said[-1]["resumed_frames"] == 0
    assert encoded_again(said) == [
        f"{folder / 'film.webp'} cannot be resumed and is encoded again from its first frame"
    ]
    assert len(decode(folder / "film.mkv", SIZE, SIZE)) == 57
    with Image.open(folder / "film.webp") as webp:
        assert webp.n_frames == 57


def test_a_fork_copies_what_lies_before_it(folder, decode, ffmpeg):
    render(folder, "--keep-latents")
    before = decode(folder / "film.mkv", SIZE, SIZE)
    said = render(folder, "--fork-at", "33f", "--overwrite", moves="w-33,s-24")
    assert said[-1]["resumed_frames"] == 33
    after = decode(folder / "film.mkv", SIZE, SIZE)
    assert len(after) == 57
    assert np.array_equal(after[:33], before[:33])
    assert not np.array_equal(after[33:], before[33:])
    path = folder / "film.mkv"
    assert read_recipe(read_tags(ffmpeg, path), path)["flags"]["moves"] == "w-33,s-24"


def test_a_refused_resume_leaves_what_is_there(folder, decode):
    kill_after(folder, 3)
    partial = folder / "film.partial.mkv"
    frames = len(decode(partial, SIZE, SIZE))
    assert frames
    done = lingbot(*argv(folder, "--resume", "--seed", "7"))
    assert done.code == 2
    assert len(decode(partial, SIZE, SIZE)) == frames
