"""Stages that overlap: order, bounds, failures and early ends."""

import itertools
import threading
import time
from contextlib import closing

import pytest

from lingbot_cli.prefetch import prefetch


def settle(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_everything_arrives_in_order():
    assert list(prefetch(prefetch(range(100), "a"), "b")) == list(range(100))


def test_the_maker_is_never_more_than_the_bound_ahead():
    made = []

    def make():
        for index in itertools.count():
            made.append(index)
            yield index

    with closing(prefetch(make(), "maker")) as items:
        assert next(items) == 0
        settle(lambda: len(made) == 3)
        time.sleep(0.1)
        assert len(made) == 3  # one read, one waiting, one at the door


def test_two_stages_work_at_the_same_time():
    meeting = threading.Barrier(2, timeout=20)

    def first():
        yield 0
        meeting.wait()
        yield 1

    def second(items):
        for item in items:
            if item == 0:
                meeting.wait()
            yield item

    assert list(prefetch(second(prefetch(first(), "first")), "second")) == [0, 1]


def test_a_failure_reaches_the_reader_after_what_came_before():
    def make():
        yield 1
        raise LookupError("broken")

    items = prefetch(prefetch(make(), "a"), "b")
    assert next(items) == 1
    with pytest.raises(LookupError, match="broken"):
        next(items)


def test_what_idle_raises_ends_the_wait_and_the_threads():
    go = threading.Event()
    ended = threading.Event()

    def make():
        try:
            go.wait(20)
            yield 1
            yield 2
            yield 3
        finally:
            ended.set()

    def idle():
        raise LookupError("elsewhere")

    with pytest.raises(LookupError, match="elsewhere"):
        next(prefetch(make(), "slow", idle=idle))
    go.set()
    assert ended.wait(10)


def test_a_reader_that_leaves_ends_every_stage():
    def stages() -> list[str]:
        return sorted(
            thread.name for thread in threading.enumerate() if thread.name in ("stage-a", "stage-b")
        )

    with closing(prefetch(prefetch(itertools.count(), "stage-a"), "stage-b")) as items:
        assert next(items) == 0
        assert stages() == ["stage-a", "stage-b"]
    settle(lambda: not stages())
