"""`lingbot play` as a program: its address, and a walk that renders to the same video."""

import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.support.command import lingbot
from tests.support.realtime_client import client
from tests.support.reference import sample_image


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "first.png"
    Image.fromarray(sample_image(40, 48)).save(path)
    return path


def test_without_an_image_it_opens_the_courtyard(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "lingbot_cli", "play", "--size", "32x32"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    ) as child:
        try:
            found = next(
                match for line in child.stdout if (match := re.match(r"open .*:(\d+)/\?token=(\S+)", line))
            )
            with client(int(found[1]), found[2]) as player:
                player.send(type="init", prompt="", camera={}, realtime_output_pacing=True)
                assert player.chunk()[0].shape[1:] == (32, 32, 3)
        finally:
            child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130


def test_what_was_played_renders_to_the_same_film(tmp_path, image):
    walk = tmp_path / "walk.jsonl"
    command = (
        "play",
        str(image),
        "--prompt",
        "a court",
        "--size",
        "32x32",
        "--seed",
        "5",
        "--record",
        str(walk),
    )
    with subprocess.Popen(
        [sys.executable, "-m", "lingbot_cli", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        try:
            assert "was not trained at 32x32" in child.stdout.readline()
            assert child.stdout.readline().startswith("self-attention: ")
            address = child.stdout.readline()
            found = re.fullmatch(r"open http://127\.0\.0\.1:(\d+)/\?token=(\S+)\n", address)
            assert found, address
            shown = []
            with client(int(found[1]), found[2]) as player:
                player.send(type="init", prompt="a court", seed=5, camera={}, realtime_output_pacing=True)
                shown.append(player.chunk()[0])
                player.event("camera_actions", {"mode": "state", "transitions": [{"actions": ["w"]}]})
                player.event("prompt", "it rains")
                player.event("turn", {"yaw": 7.5, "pitch": -2.0})
                shown += [player.chunk()[0] for _ in range(2)]
                player.event("camera_actions", {"mode": "state", "transitions": [{"actions": ["w", "l"]}]})
                player.event("camera_actions", {"mode": "state", "transitions": [{"actions": []}]})
                shown += [player.chunk()[0] for _ in range(2)]
                player.event("stop")
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 143
        finally:
            child.kill()
        rest = child.stdout.read()
        assert "Traceback" not in rest
        assert "error" not in rest
        assert (
            f"stopped by SIGTERM\nrecorded {walk}; render it with:\n  lingbot render {image} -t {walk} -o "
            in rest
        )
    film = np.concatenate(shown)
    done = lingbot(
        *("render", str(image), "-t", str(walk), "--quality", "master", "-o", f"{tmp_path}/film/%03d.png")
    )
    assert done.code == 0, done.stderr
    again = np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / "film").glob("*.png"))])
    assert len(again) >= len(film)  # a chunk may have gone out while its reader left
    differing = np.flatnonzero((again[: len(film)] != film).any((1, 2, 3)))
    assert differing.size == 0, (differing, np.abs(again[: len(film)].astype(int) - film).max((1, 2, 3)))
    assert len(again) - len(film) <= 12


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--size", "33x32"), 2, "multiples of 16"),
        (("--record", "nowhere/walk.jsonl"), 4, "does not exist"),
        (("--record", "walk.txt"), 4, ".jsonl"),
    ],
)
def test_mistakes_are_refused_before_anything_is_loaded(image, options, code, message):
    done = lingbot("play", str(image), *options)
    assert done.code == code
    assert message in done.stderr
