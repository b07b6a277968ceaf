"""Displays on a terminal of fixed width, in a log and as JSON."""

import io
import json
from fractions import Fraction

import pytest
from rich.console import Console

from lingbot_cli.errors import OutputError
from lingbot_cli.ui.display import Report, choose_display, progress_line
from lingbot_cli.ui.progress import Progress, ProgressMeter, duration_text, fit_line, memory_in_use, size_text

HALF = Progress(3, 6, 33, 72, 4.0, 12.0, 0.75, 3.25, 512 * 2**20, "wl")
KEY = "rtmp://live.example/app/sekrit-key"


def told(**how):
    """Show a whole run; return what went to the terminal and to standard output."""
    err, out = io.StringIO(), io.StringIO()
    terminal = how.pop("terminal", False)
    console = Console(file=err, force_terminal=terminal, width=100, highlight=False, color_system=None)
    display = choose_display(
        **{"quiet": False, "as_json": False, **how}, err=console, json_to=Console(file=out, soft_wrap=True)
    )
    display.plan(Report({"frames": 72}, "72 frames"))
    display.chunk(HALF)
    display.warning(f"could not reach {KEY}")
    display.done(Report({"file": KEY}, f"{KEY}: 72 frames"))
    display.error(OutputError(f"{KEY} is gone", hint="look at the disk"))
    display.close()
    return err.getvalue(), out.getvalue()


def test_a_line_says_everything():
    assert progress_line(HALF) == (
        "chunk 3/6 · 3.2 s left · 12.0 fps · keys wl · 0.75× real time · 33 frames · 512 MiB"
    )
    live = Progress(3, None, 33, None, 4.0, 12.0, 0.75, None, 2**31)
    assert progress_line(live) == "chunk 3 · 12.0 fps · 0.75× real time · 33 frames · 2.0 GiB"


def test_a_log_has_a_line_for_everything():
    err, out = told()
    assert [line.split(" ")[0] for line in err.splitlines()] == [
        "72",
        "chunk",
        "warning:",
        "rtmp://live.example/app/***",
    ]
    assert out == ""


def test_a_terminal_shows_the_line_that_changes_and_keeps_the_last_word():
    err, out = told(terminal=True)
    assert "rendering the first chunk" in err
    assert "chunk 3/6" in err
    assert "\x1b[2K" in err  # the line is wiped before the next
    assert err.rstrip().endswith("rtmp://live.example/app/*** 72 frames")
    assert out == ""


def test_quiet_says_only_warnings():
    err, _ = told(quiet=True)
    assert err == "warning: could not reach rtmp://live.example/app/***\n"


def test_a_program_gets_an_object_a_line():
    err, out = told(as_json=True, quiet=True)
    said = [json.loads(line) for line in out.splitlines()]
    assert [each.pop("event") for each in said] == ["plan", "chunk", "warning", "done", "error"]
    assert said[1]["left"] == 3.25
    assert said[4] == {
        "message": "rtmp://live.example/app/*** is gone", "hint": "look at the disk", "exit_code": 4
    }  # fmt: skip
    assert err == ""
    assert "sekrit" not in out


def test_the_rate_leaves_the_warm_up_out():
    now = iter([0.0, 10.0, 11.0, 12.0])
    meter = ProgressMeter(Fraction(16), 3, 33, lambda: next(now))
    assert meter.count(9).fps == 0.9
    second = meter.count(12)
    assert (second.fps, second.realtime, second.left, second.frames) == (12.0, 0.75, 1.0, 21)
    last = meter.count(12, "w")
    assert (last.chunk, last.frames, last.left, last.seconds, last.keys) == (3, 33, 0.0, 12.0, "w")
    assert last.memory > 2**20


def test_memory_is_seen_to_grow():
    before = memory_in_use()
    ballast = b"x" * (64 * 2**20)
    assert memory_in_use() - before > 32 * 2**20
    assert len(ballast) == 64 * 2**20


def test_amounts_as_people_read_them():
    assert [duration_text(s) for s in (8.64, 125, 3725)] == ["8.6 s", "2:05", "1:02:05"]
    assert [size_text(b) for b in (2**20, 2**30 * 3 // 2)] == ["1 MiB", "1.5 GiB"]


@pytest.mark.parametrize(
    ("columns", "line"),
    [(80, "16.0 fps · W · X quit · WASD walk"), (25, "16.0 fps · W · X quit"), (10, "16.0 fps"), (4, "16.0")],
)
def test_a_narrow_line_leaves_out_its_last_parts(columns, line):
    assert fit_line("16.0 fps · W · X quit · WASD walk", columns) == line


def test_the_first_chunk_after_a_resume_guesses_no_time_left():
    meter = ProgressMeter(
        Fraction(16), 6, 72, iter([0.0, 9.0, 10.0]).__next__, chunks_before=3, frames_before=36
    )
    assert meter.count(12).left is None
    assert meter.count(12).left == 1.0
