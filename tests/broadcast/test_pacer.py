"""The pace of a stream: its rate holds whatever the world does."""

import threading
import time

import numpy as np
import pytest

from lingbot_cli.broadcast.pacer import Pacer, SmoothRate
from lingbot_cli.errors import OutputError
from tests.support.rtmp_server import until

FPS = 32


class Seen:
    """Remembers what left, and when."""

    def __init__(self):
        self.numbers, self.times = [], []
        self.failure = None

    def put(self, frame):
        self.numbers.append(int(frame[0, 0, 0]) + 256 * int(frame[0, 0, 1]))
        self.times.append(time.monotonic())

    def check(self):
        if self.failure:
            raise self.failure

    @property
    def rate(self):
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])


def frame(number):
    made = np.zeros((2, 2, 3), np.uint8)
    made[..., 0], made[..., 1] = number % 256, number // 256
    return made


def chunk(first, count=16):
    return np.stack([frame(number) for number in range(first, first + count)])


def pacer(seen, fps=FPS, **options):
    made = Pacer([seen], fps, frame(0), clock=time.monotonic, **options)
    made.open(None)
    return made


def throttled(made, speed, seconds):
    """A world that makes `speed` times real time."""
    end, first = time.monotonic() + seconds, 1
    while time.monotonic() < end:
        time.sleep(16 / (speed * FPS))
        made.write(chunk(first))
        first += 16
    return first - 1


def test_a_world_at_two_fifths_of_real_time_keeps_the_rate():
    """What a longer run outside the tests measures over ten minutes."""
    seen = Seen()
    made = pacer(seen)
    written = throttled(made, 0.4, 20)
    made.close()
    assert seen.rate == pytest.approx(FPS, rel=0.01)
    gaps = np.diff(seen.times)
    assert len(gaps) > 20 * FPS
    shown = list(dict.fromkeys(seen.numbers))
    assert shown == list(range(written + 1))
    flow = made.stats
    assert flow.made == written
    assert flow.shown == len(seen.numbers) == written + flow.repeats
    assert flow.drops == flow.buffer == 0


def longest_run(numbers):
    runs, last = [0], None
    for number in numbers:
        runs.append(runs[-1] + 1 if number == last else 1)
        last = number
    return max(runs)


def test_smooth_spreads_what_hold_shows_at_once():
    runs = {}
    for pace in ("hold", "smooth"):
        seen = Seen()
        made = pacer(seen, 3 * FPS, pace=pace, lead=0.2)
        throttled(made, 3 * 0.4, 4)  # four chunks in 1.7 s, two fifths of this rate
        made.abort()
        runs[pace] = longest_run([number for number in seen.numbers if number > 48])
    assert runs["smooth"] < runs["hold"] / 2


def test_hold_lets_a_fast_world_wait_and_drop_does_not():
    seen = Seen()
    made = pacer(seen, lead=0.25)
    for first in range(1, 65, 16):
        made.write(chunk(first))
        # It waited until no more than the lead of 8 frames was left; the last of the others may be on its way.
        assert max(seen.numbers, default=0) >= first - 1 - 8 - 1
    made.close()
    assert [n for n in dict.fromkeys(seen.numbers) if n] == list(range(1, 65))
    seen = Seen()
    made = pacer(seen, pace="drop", lead=0.25)
    for first in range(1, 161, 16):
        made.write(chunk(first))
    made.close()
    shown = [n for n in dict.fromkeys(seen.numbers) if n]
    assert made.stats.drops == 160 - len(shown) >= 160 - 40
    assert shown == sorted(shown)
    assert shown[-1] == 160


def test_nothing_begins_before_the_lead_is_there_but_an_end_begins_it():
    seen, showing = Seen(), []
    made = pacer(seen, lead=1.0, on_frame=lambda number, _now: showing.append(number))
    made.write(chunk(1))
    until(lambda: len(seen.numbers) > 16)
    assert set(seen.numbers) == {0}
    made.close()
    assert showing == list(range(16))
    assert seen.numbers[-16:] == list(range(1, 17))


def test_a_failed_output_ends_the_wait():
    seen = Seen()
    made = pacer(seen, lead=0)
    seen.failure = OutputError("gone")
    made.write(chunk(1, 200))
    with pytest.raises(OutputError, match="gone"):
        made.write(chunk(201))
    made.abort()
    assert all(thread.name != "pacer" for thread in threading.enumerate())


def test_what_a_stall_has_held_up_leaves_after_it():
    seen, stalled = Seen(), [0.0]
    made = Pacer([seen], FPS, frame(0), clock=lambda: time.monotonic() + stalled[0])
    begun = time.monotonic()
    made.open(None)
    for seconds in (0.7, 5.0):
        until(lambda: len(seen.numbers) > 4)
        count, since = len(seen.numbers), time.monotonic()
        stalled[0] += seconds
        time.sleep(0.1)
        left = len(seen.numbers) - count
        assert left <= (time.monotonic() - since) * FPS * 4 + 3  # not all of it at once
        until(lambda: len(seen.numbers) >= (time.monotonic() - begun + stalled[0]) * FPS - 2)
    made.abort()


def test_a_machine_that_slept_does_not_catch_up():
    seen, asleep = Seen(), [0.0]
    made = Pacer([seen], FPS, frame(0), clock=lambda: time.monotonic() + asleep[0])
    made.open(None)
    until(lambda: len(seen.numbers) > 4)
    asleep[0] = 3600.0
    count = len(seen.numbers)
    time.sleep(0.5)
    assert len(seen.numbers) - count < FPS
    made.abort()


def test_smooth_goes_on_at_the_worlds_rate():
    cadence = SmoothRate(16, 1)
    for index in range(6):
        cadence.chunk(16, index * 4.0)  # a quarter of real time
    steps = [cadence.is_due(16) for _ in range(64)]
    assert sum(steps) == pytest.approx(16, abs=2)
    assert max(len(run) for run in "".join(".x"[step] for step in steps).split("x")) <= 5


def test_who_leaves_does_not_wait_for_what_was_made_to_be_shown():
    seen, leaving = Seen(), threading.Event()
    made = pacer(seen, lead=0.5, stopped=leaving.is_set)  # ten chunks would take five seconds
    made.write(chunk(1))
    leaving.set()
    for index in range(1, 10):
        made.write(chunk(1 + 16 * index))
    made.close()
    made.abort()
    assert made.stats.made == 160
    assert len(seen.numbers) < 60
