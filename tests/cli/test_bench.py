"""`lingbot bench` on the built-in world, in its three forms."""

import json

import pytest

from lingbot_cli.run.bench import PHASES, Stopwatch
from tests.command import lingbot

SMALL = ("bench", "--chunks", "2", "--size", "32x32", "--quality", "draft")


def test_every_phase_is_measured():
    figures = json.loads(lingbot(*SMALL, "--json").stdout)
    assert set(figures["phases"]) == set(PHASES)
    assert all(seconds > 0 for seconds in figures["phases"].values())
    assert figures["chunks"] == 2
    assert figures["size"] == "32x32"
    assert figures["realtime"] == pytest.approx(figures["fps"] / 16)
    assert figures["first_frame"] > 0
    assert figures["memory"] > 2**20
    assert figures["sink_fps"] > 0


def test_a_table_for_people_and_one_for_a_page():
    plain = lingbot(*SMALL).stdout
    markdown = lingbot(*SMALL, "--markdown").stdout.splitlines()
    assert markdown[1] == "|---|---:|"
    assert all(line.count("|") == 3 for line in markdown)
    for phase in (*PHASES, "as played", "peak memory", "first frame"):
        assert phase in plain
        assert any(line.startswith(f"| {phase} |") for line in markdown)


def test_the_warm_up_is_left_out():
    now = iter([0.0, 100.0, 200.0, 201.0, 300.0, 303.0])
    watch = Stopwatch(lambda: next(now), lambda: None)
    for _ in range(3):
        with watch.phase("denoise"):
            pass
        watch.lap()
    assert watch.means()["denoise"] == 2.0
