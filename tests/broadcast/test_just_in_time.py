"""Chunks are begun as late as the pace allows, so that what is said last is heard first."""

import math
from types import SimpleNamespace

import pytest

from lingbot_cli.broadcast.just_in_time import ChunkTimings, just_in_time

FPS = 16
CHUNKS = [9, 12, 12, 12]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Ask again at once: each question lets a frame leave."""
    monkeypatch.setattr("lingbot_cli.broadcast.just_in_time.POLL_INTERVAL_S", 0)


class Leaving:
    """A stream whose frames leave, one each time somebody asks how long the rest lasts."""

    def __init__(self):
        self.left = 0

    def waiting(self, frames):
        self.left += 1
        return (frames - self.left) / FPS


def begun(*, lead, seconds=0.0, over=lambda: False):
    """How many frames had left when each chunk was begun, with chunks that take so many seconds."""
    stream, timings, moments, now = Leaving(), ChunkTimings(), [], [0.0]
    controls = (SimpleNamespace(frames=frames) for frames in CHUNKS)
    for _ in just_in_time(
        controls, timings, remaining=stream.waiting, stopped=over, lead=lead, clock=lambda: now[0]
    ):
        moments.append(stream.left)
        now[0] += seconds
        timings.arrived(now[0])
    return moments


def test_a_chunk_is_begun_when_only_the_lead_is_left():
    assert begun(lead=0.25) == [1, 9 - 4, 21 - 4, 33 - 4]
    assert begun(lead=0.5) == [1, 2, 21 - 8, 33 - 8]


def test_what_a_chunk_takes_is_begun_earlier_by_that():
    # What the first one takes is not counted: it warms up.
    assert begun(lead=0.25, seconds=0.25) == [1, 5, 21 - 8, 33 - 8]


def test_a_slow_world_never_waits_and_drop_waits_for_nobody():
    assert begun(lead=0.25, seconds=9.0)[2:] == [6, 7]
    assert begun(lead=math.inf) == [1, 2, 3, 4]


def test_nothing_is_taken_once_it_is_over():
    assert begun(lead=0.25, over=lambda: True) == []


def test_moments_of_a_chunk_and_what_the_slowest_took():
    timings = ChunkTimings()
    for chunk, took in enumerate((5.0, 0.5, 2.0, 0.5)):
        timings.start(10.0 * chunk)
        timings.arrived(10.0 * chunk + took)
    assert timings.render_time == 2.0
    assert timings.of(2, 0.0) == (20.0, 22.0)
    assert timings.of(7, 99.0) == (99.0, 99.0)
    for chunk in range(400):
        timings.start(chunk)
        timings.arrived(chunk)
    assert timings.render_time == 0.0
    assert timings.of(2, 99.0) == (99.0, 99.0)


def test_the_slowest_of_the_last_eight_chunks_counts():
    timings = ChunkTimings()
    for chunk, took in enumerate((9.0, 5.0, *[1.0] * 8)):
        timings.start(10.0 * chunk)
        timings.arrived(10.0 * chunk + took)
        assert timings.render_time == (0.0 if not chunk else 5.0 if chunk <= 8 else 1.0)
