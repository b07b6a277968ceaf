"""`--preview terminal` in a real terminal, which works after every exit."""

import os
import pty
import re
import signal
import subprocess
import sys
import termios

import pytest
from PIL import Image
from rich.console import Console

from lingbot_cli.terminal.preview import StatusLineDisplay, TerminalPreview
from lingbot_cli.terminal.screen import Screen
from tests.support.command import lingbot
from tests.support.reference import sample_image
from tests.terminal.test_play import ROOT, tmux, works  # noqa: F401 - a fixture

ENDLESS = "--moves w-4000"


@pytest.fixture
def start(tmux, tmp_path):  # noqa: F811
    Image.fromarray(sample_image(32, 48)).save(tmp_path / "first.png")

    def start(command, before=""):
        tmux.keys(
            f"cd {tmp_path} && {before} PYTHONPATH={ROOT} {sys.executable} -m tests.support.play_tiny {command} "
            "--preview terminal",
            "Enter",
        )

    return start


def child(tmux):  # noqa: F811
    shell = tmux.tmux("display-message", "-p", "#{pane_pid}").strip()
    return int(subprocess.run(["pgrep", "-P", shell], capture_output=True, text=True, check=True).stdout)


def test_frames_and_progress_are_shown_during_a_render(tmux, start, tmp_path):  # noqa: F811
    start(f"render first.png {ENDLESS} --size 48x32 -o a.mkv")
    tmux.until(r"▀{80,}\n▀{80,}")
    tmux.until(r"chunk \d+/\d+ · .* fps")
    shown = tmux.shown().rstrip("\n").split("\n")
    assert len(shown) == 30
    assert [line for line in shown if "chunk" in line] == [shown[-1]]
    colours = re.findall(r"[34]8;2;\d+;\d+;\d+", tmux.tmux("capture-pane", "-p", "-e"))
    assert len(set(colours)) > 50
    tmux.keys("w")  # is for nobody
    tmux.keys("C-c")
    tmux.until("partial output: a.partial.mkv")
    tmux.until("interrupted by SIGINT")
    works(tmux)
    assert "w\n$" not in tmux.shown()
    assert (tmp_path / "a.partial.mkv").stat().st_size > 0


def test_no_key_is_echoed_before_the_first_frame_and_all_are_at_the_end():
    terminal, program = pty.openpty()
    display = StatusLineDisplay(Console(), TerminalPreview(Screen(program, program)), quiet=False)
    assert not termios.tcgetattr(program)[3] & termios.ECHO
    display.close()
    assert termios.tcgetattr(program)[3] & termios.ECHO
    os.close(terminal)
    os.close(program)


@pytest.mark.parametrize("end", ["end", "SIGTERM", "crash", "twice"])
def test_the_terminal_works_after_every_exit(tmux, start, end):  # noqa: F811
    if end == "end":
        start("stream first.png --moves w-30 --size 48x32 --to null:")
        tmux.until(r"chunk \d+ · rendered")
        tmux.until("30 rendered")
    elif end == "crash":
        start(f"render first.png {ENDLESS} --size 48x32 -o null:", "CRASH=1")
        tmux.until("a picture that cannot be drawn")
    elif end == "SIGTERM":
        start(f"stream first.png {ENDLESS} --size 48x32 --to null:")
        tmux.until(r"chunk \d+ · rendered")
        os.kill(child(tmux), signal.SIGTERM)
        tmux.until("interrupted by SIGTERM")
    else:
        start(f"render first.png {ENDLESS} --size 96x64 -o null:")
        tmux.until(r"chunk \d+/")
        tmux.keys("C-c")
        tmux.until("once more to leave at once")
        tmux.keys("C-c")
    works(tmux)


@pytest.mark.parametrize(
    "command",
    [("render", "--moves", "w-5", "-o", "null:"), ("stream", "--moves", "w-5", "--to", "null:")],
)
def test_without_a_terminal_it_is_an_error(tmp_path, command):
    Image.fromarray(sample_image(32, 48)).save(tmp_path / "first.png")
    done = lingbot(command[0], str(tmp_path / "first.png"), *command[1:], "--preview", "terminal")
    assert done.code == 2
    assert "needs a terminal" in done.stderr
