"""Playing in a real terminal: frames in tmux, keys, and a terminal that works afterwards."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.terminal.graphics import half_blocks, kitty, sixel
from lingbot_cli.terminal.keyboard import HOLD_FIRST_S, HOLD_REPEAT_S, HeldKeys, parse_keys
from tests.support.command import lingbot
from tests.support.processes import wait_until
from tests.support.reference import sample_image

ROOT = Path(__file__).parents[2]
WAIT = 60


class Tmux:
    """A tmux server of its own with one shell."""

    def __init__(self, folder):
        self.socket = str(folder / "tmux")
        shell = f"env -i PATH={os.environ['PATH']} TERM=screen-256color PS1='$ ' sh"
        self.tmux("new-session", "-d", "-x", "100", "-y", "30", shell)

    def tmux(self, *argv):
        return subprocess.run(
            ["tmux", "-f", "/dev/null", "-S", self.socket, *argv],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def shown(self):
        return self.tmux("capture-pane", "-p")

    def until(self, pattern):
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            if found := re.search(pattern, self.shown()):
                return found
            time.sleep(0.05)
        raise AssertionError(f"{pattern} never came:\n{self.shown()}")


@pytest.fixture
def tmux(tmp_path):
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux")
    found = Tmux(tmp_path)
    try:
        yield found
    finally:
        found.tmux("kill-server")


@pytest.fixture
def command(tmp_path):
    image = tmp_path / "first.png"
    Image.fromarray(sample_image(32, 48)).save(image)
    walk = tmp_path / "walk.jsonl"
    return (
        f"cd {ROOT} && {sys.executable} -m tests.support.play_tiny play {image} --in terminal --size 48x32"
        f" --record {walk}"
    )


def works(tmux):
    """Whether the terminal echoes, takes lines and shows its cursor, on its own screen."""
    end = time.monotonic() + WAIT
    while tmux.tmux("display-message", "-p", "#{alternate_on}").strip() == "1":
        assert time.monotonic() < end, tmux.shown()
        time.sleep(0.05)
    tmux.keys("echo the-answer-is-$((40 + 2))", "Enter")
    tmux.until(r"echo the-answer-is-\$\(\(40 \+ 2\)\)\n")  # what is typed is shown
    tmux.until(r"the-answer-is-42\n")
    assert tmux.tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"
    assert "▀" not in tmux.shown()
    tmux.keys("stty -a | tr ' ' '\\n' | grep -c -E '^(echo|icanon|isig);?$'", "Enter")
    tmux.until(r"\n3\n")


def test_keys_typed_while_the_model_loads_are_not_echoed(tmux, command):
    tmux.keys(command, "Enter")
    tmux.until("loading the model …")
    tmux.keys("wwwwqqqq")
    tmux.until(r"▀{80,}\n▀{80,}")
    tmux.keys("x")
    tmux.until(r"recorded|nothing was recorded")
    assert "wwww" not in tmux.shown()
    works(tmux)


def test_frames_are_drawn_keys_act_and_ctrl_c_restores_the_terminal(tmux, command, tmp_path):
    tmux.keys(command, "Enter")
    tmux.until(r"▀{80,}\n▀{80,}")
    colours = re.findall(r"38;2;\d+;\d+;\d+m|48;2;\d+;\d+;\d+m", tmux.tmux("capture-pane", "-p", "-e"))
    assert len(set(colours)) > 50
    now = int(tmux.until(r"\d fps · chunk (\d+)")[1])
    for key in ("l", "Enter", "it rains", "Enter"):
        tmux.keys(key)

    def later():
        chunk = re.search(r"fps · \d+\.\d s latency · chunk (\d+) ·", tmux.shown())
        return chunk is not None and int(chunk[1]) >= now + 4

    wait_until(later, WAIT)
    tmux.keys(" ")
    tmux.until("paused")
    tmux.keys(" ")
    tmux.until("fps")
    tmux.keys("C-c")
    tmux.until("stopped by SIGINT")
    works(tmux)
    lines = [json.loads(line) for line in (tmp_path / "walk.jsonl").read_text().splitlines()]
    assert any(line.get("keys") == "l" for line in lines)
    assert any(line.get("prompt") == "it rains" for line in lines[1:])


@pytest.mark.parametrize("end", ["x", "SIGTERM", "crash"])
def test_the_terminal_works_after_every_exit(tmux, command, end):
    tmux.keys(f"CRASH=1; export CRASH; {command}" if end == "crash" else command, "Enter")
    if end == "crash":
        tmux.until("a picture that cannot be drawn")
    else:
        tmux.until("fps · chunk")
    if end == "x":
        tmux.keys("x")
    elif end == "SIGTERM":
        shell = int(tmux.tmux("display-message", "-p", "#{pane_pid}"))
        child = subprocess.run(["pgrep", "-P", str(shell)], capture_output=True, text=True, check=True).stdout
        os.kill(int(child), signal.SIGTERM)
        tmux.until("stopped by SIGTERM")
    works(tmux)


def test_without_a_terminal_it_is_an_error(tmp_path):
    image = tmp_path / "a.png"
    Image.fromarray(sample_image()).save(image)
    done = lingbot("play", str(image), "--in", "terminal")
    assert done.code == 2
    assert "needs a terminal" in done.stderr


def test_a_key_is_held_until_it_stops_repeating():
    held = HeldKeys()
    held.press("w", 0.0)
    assert held.letters(HOLD_FIRST_S - 0.01) == "w"
    held.press("w", HOLD_FIRST_S - 0.05)
    held.press("a", HOLD_FIRST_S - 0.05)
    assert held.letters(HOLD_FIRST_S) == "wa"
    assert held.letters(HOLD_FIRST_S - 0.05 + HOLD_REPEAT_S + 0.01) == "a"
    assert held.letters(9.0) == ""
    assert parse_keys("w\x1b[A\x1bOD\x1b[1;5C\x1bx") == ["w", "i", "j", "l", "\x1b", "x"]


def test_half_blocks_show_two_pixels_a_character():
    frame = np.zeros((4, 2, 3), np.uint8)
    frame[1::2] = 255
    text = half_blocks(frame, 2, 2)
    assert text.count("▀") == 4
    assert text.count("\x1b[38;2;0;0;0;48;2;255;255;255m") == 2  # once a line: only changes are written


def test_kitty_payloads_are_split_and_sixels_run_length_encoded():
    frame = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    drawn = kitty(frame, 80, 24)
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", drawn)
    assert len(pieces) > 1
    assert "s=80,v=60" in pieces[0][0]
    assert [head[-1] for head, _ in pieces] == ["1"] * (len(pieces) - 1) + ["0"]
    assert all(len(data) <= 4096 for _, data in pieces)
    flat = np.zeros((12, 20, 3), np.uint8)
    flat[:, 10:] = (255, 0, 0)
    drawn = sixel(flat, 2, 1)
    assert drawn.startswith('\x1b[H\x1bP0;1q"1;1;20;12')
    assert drawn.count("-") == 2  # two bands of six rows
    assert "2;100;0;0" in drawn
    assert "!10~" in drawn
