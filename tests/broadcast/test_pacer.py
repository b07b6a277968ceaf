"""Pace of a stream in simulated time: its rate holds whatever the model does."""

import threading
import time

import numpy as np
import pytest

from lingbot_cli.broadcast.pacer import MAX_DELAY_S, DueTimes, Pacer, SmoothRate
from lingbot_cli.errors import OutputError

FPS = 32


def frame(number):
    made = np.zeros((2, 2, 3), np.uint8)
    made[..., 0], made[..., 1] = number % 256, number // 256
    return made


def chunk(first, count=16):
    return np.stack([frame(number) for number in range(first, first + count)])


class Output:
    """Numbers of the frames that were sent, in order."""

    failure = None

    def __init__(self):
        self.numbers = []

    def put(self, frame):
        self.numbers.append(int(frame[0, 0, 0]) + 256 * int(frame[0, 0, 1]))

    def check(self):
        if self.failure:
            raise self.failure

    @property
    def shown(self):
        """Numbers without repetitions and without the first image."""
        return [number for number in dict.fromkeys(self.numbers) if number]


class Simulation(Output):
    """Stream without a thread, in a time that `run` advances."""

    def __init__(self, fps=FPS, **options):
        super().__init__()
        self.now, self.times, self.due = 0.0, [], DueTimes(fps, 0.0)
        self.pacer = Pacer([self], fps, frame(0), clock=lambda: self.now, **options)

    def put(self, frame):
        super().put(frame)
        self.times.append(self.now)

    def run(self, end):
        """Send what is due before `end`; return whether more is to be sent."""
        while self.now + max(0.0, self.due.delay(self.now)) < end - 1e-9:
            self.now += max(0.0, self.due.delay(self.now))
            self.due.sent(self.now)
            if not self.pacer.send_next():
                return False
        self.now = end
        return True

    def throttled(self, speed, seconds, fps=FPS):
        """Run a model that renders `speed` times real time; return the number of its frames."""
        count = int(seconds * speed * fps / 16)
        for index in range(count):
            self.run((index + 1) * 16 / (speed * fps))
            self.pacer.write(chunk(1 + 16 * index))
        return 16 * count


def test_a_model_at_two_fifths_of_real_time_keeps_the_rate():
    stream = Simulation()
    written = stream.throttled(0.4, 120)
    stream.pacer.close()
    assert not stream.run(200)
    np.testing.assert_allclose(stream.times, np.arange(len(stream.times)) / FPS, atol=1e-9)
    assert len(stream.times) > 119 * FPS
    assert stream.shown == list(range(1, written + 1))
    stats = stream.pacer.stats
    assert stats.made == written == 1536
    assert stats.shown == len(stream.numbers) == written + stats.repeats
    assert stats.drops == stats.buffer == 0
    assert stream.pacer.rate == pytest.approx(FPS)


def longest_run(numbers):
    runs, last = [0], None
    for number in numbers:
        runs.append(runs[-1] + 1 if number == last else 1)
        last = number
    return max(runs)


def test_smooth_spreads_what_hold_shows_at_once():
    runs = {}
    for pace in ("hold", "smooth"):
        stream = Simulation(pace=pace, lead=0.5)
        stream.throttled(0.4, 30)
        runs[pace] = longest_run([number for number in stream.numbers if number > 160])
    # 16 frames last half a second and arrive every 1.25 s: hold repeats the last one for the rest.
    assert runs == {"hold": 25, "smooth": 4}


def test_hold_waits_until_no_more_than_the_lead_is_left():
    output = Output()
    pacer = Pacer([output], 10 * FPS, frame(0), clock=time.monotonic, lead=0.025)
    pacer.open(None)
    for first in range(1, 65, 16):
        pacer.write(chunk(first))
        # No more than the lead of 8 frames was left; the last of the others may be on its way.
        assert max(output.numbers, default=0) >= first - 1 - 8 - 1
    pacer.close()
    assert output.shown == list(range(1, 65))
    assert not pacer.stopped


def test_the_thread_sends_each_frame_when_it_is_due(monkeypatch):
    stream = Simulation(lead=0.1)

    def wait(seconds):
        stream.now += seconds

    monkeypatch.setattr(stream.pacer._change, "wait", wait)
    stream.pacer.write(chunk(1))
    stream.pacer.open(None)
    stream.pacer.close()
    assert stream.shown == list(range(1, 17))
    np.testing.assert_allclose(stream.times, np.arange(len(stream.times)) / FPS, atol=1e-9)


def test_drop_keeps_an_even_choice_of_a_lead_and_a_chunk():
    stream = Simulation(pace="drop", lead=0.25)
    stream.pacer.write(chunk(1))
    assert (stream.pacer.stats.drops, stream.pacer.stats.buffer) == (0, 0.5)
    for first in range(17, 161, 16):
        stream.pacer.write(chunk(first))
    assert (stream.pacer.stats.made, stream.pacer.stats.drops) == (160, 160 - 24)
    stream.pacer.close()
    stream.run(9)
    assert len(stream.shown) == 24
    assert stream.shown == sorted(stream.shown)
    assert stream.shown[-1] == 160
    stream = Simulation(pace="drop", lead=0.25)
    stream.pacer.write(chunk(1, 32))
    stream.pacer.write(chunk(33, 16))
    stream.run(1)
    # Of 48 frames 24 are left, from the first to the last.
    assert stream.shown == [1 + round(index * 47 / 23) for index in range(24)]


def test_nothing_begins_before_the_lead_is_there_but_an_end_begins_it():
    showing = []
    stream = Simulation(lead=1.0, on_frame=lambda number, now: showing.append((number, now)))
    stream.pacer.write(chunk(1))
    stream.run(1)
    assert stream.numbers == [0] * 32
    assert stream.pacer.remaining(16) == 0.5
    stream.pacer.close()
    assert not stream.run(9)
    assert showing == [(number, 1 + number / FPS) for number in range(16)]
    assert stream.numbers[32:] == list(range(1, 17))
    assert stream.pacer.remaining(16) == 0
    assert stream.pacer.remaining(24) == 0.25


def test_a_lead_that_is_there_begins_it():
    stream = Simulation(lead=1.0)
    stream.pacer.write(chunk(1, 32))
    stream.run(2)
    assert stream.numbers == [*range(1, 33), *[32] * 32]


def test_a_failed_output_ends_the_wait():
    output = Output()
    pacer = Pacer([output], FPS, frame(0), clock=time.monotonic, lead=0)
    pacer.open(None)
    output.failure = OutputError("gone")
    pacer.write(chunk(1, 200))
    with pytest.raises(OutputError, match="gone"):
        pacer.write(chunk(201))
    pacer.abort()
    assert pacer.stopped
    assert all(thread.name != "pacer" for thread in threading.enumerate())


@pytest.mark.parametrize("stall", [0.75, MAX_DELAY_S - 0.5])
def test_frames_that_a_stall_held_up_follow_at_four_times_the_rate(stall):
    stream = Simulation()
    stream.run(1)
    stream.now += stall
    stream.run(40)
    late = stream.times[FPS:]
    caught_up = round(stall * FPS * 4 / 3)
    np.testing.assert_allclose(np.diff(late[:caught_up]), 1 / (4 * FPS))
    np.testing.assert_allclose(stream.times[-100:], np.arange(40 * FPS - 100, 40 * FPS) / FPS)


def test_a_machine_that_slept_does_not_catch_up():
    stream = Simulation()
    stream.run(1)
    stream.now = 3600.0
    stream.run(3601)
    np.testing.assert_allclose(stream.times[FPS:], 3600 + np.arange(FPS) / FPS)


def test_the_rate_is_that_of_the_last_ten_seconds():
    stream = Simulation()
    assert stream.pacer.rate == 0
    stream.run(1 / FPS)
    assert stream.pacer.rate == 0
    stream.run(2 / FPS)
    assert stream.pacer.rate == FPS
    stream.run(20)
    stream.now += MAX_DELAY_S - 1
    stream.run(34.0)
    assert stream.pacer.rate == pytest.approx(319 / (34 - 1 / FPS - stream.times[-320]))


def test_smooth_goes_on_at_the_models_rate():
    cadence = SmoothRate(16, 1)
    for index in range(6):
        cadence.chunk(16, index * 4.0)  # a quarter of real time
    steps = [cadence.is_due(16) for _ in range(64)]
    # Each chunk halves the distance from 16 to 4 fps, to 4.375.
    assert sum(steps) == 1 + int(64 * 4.375 / 16)
    assert max(len(run) for run in "".join(".x"[step] for step in steps).split("x")) == 3


@pytest.mark.parametrize(("waiting", "factor"), [(0, 0.8), (12, 0.8), (16, 1), (24, 1.5), (99, 2)])
def test_smooth_follows_its_buffer(waiting, factor):
    cadence = SmoothRate(16, 1)
    cadence.chunk(16, 0.0)
    cadence.chunk(8, 1.0)  # half of real time: the rate is 12
    due = sum(cadence.is_due(waiting) for _ in range(400))
    assert due == pytest.approx(min(400, 400 * 0.75 * factor), abs=2)


def test_smooth_is_never_faster_than_the_stream():
    cadence = SmoothRate(16, 0.01)
    cadence.chunk(16, 0.0)
    cadence.chunk(16, 0.0)
    assert all(cadence.is_due(1) for _ in range(40))
    cadence.chunk(1, 8.0)
    assert not all(cadence.is_due(1) for _ in range(4))  # no more than one frame was saved up


def test_a_stop_ends_every_wait():
    stopped = threading.Event()
    stream = Simulation(lead=0.5, stopped=stopped.is_set)
    stream.pacer.write(chunk(1))
    stopped.set()
    for index in range(1, 10):
        stream.pacer.write(chunk(1 + 16 * index))
    stream.pacer.close()
    stream.pacer.abort()
    assert stream.pacer.stats.made == 160
    assert not stream.pacer.send_next()


def test_writing_reports_chunks_and_idles():
    chunks, idle = [], []
    stream = Simulation(on_chunk=chunks.append, idle=lambda: idle.append(1))
    stream.run(1)
    stream.pacer.write(chunk(1))
    assert chunks == [1.0]
    stream.pacer.check()
    assert idle == [1]
