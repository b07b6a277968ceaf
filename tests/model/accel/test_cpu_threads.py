"""Choice of the number of CPU threads by measurement."""

import pytest
import torch

from lingbot_cli.model.accel import cpu_threads as threads
from lingbot_cli.presets import PRESETS
from lingbot_cli.runtime.autotune import fastest


@pytest.fixture
def two(monkeypatch):
    """Simulate a machine with two threads by default."""
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "default_threads", lambda: 2)
    yield
    torch.set_num_threads(before)


def test_all_and_halves_of_them_are_tried():
    assert threads.thread_candidates(12) == [12, 6, 3, 1]
    assert threads.thread_candidates(1) == [1]


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("seconds", "taken"), [({2: 1.0, 1: 0.95}, 2), ({2: 1.0, 1: 0.8}, 1), ({2: 1.0}, 2), ({}, 2)]
)
def test_noise_does_not_decide(seconds, taken):
    assert fastest(seconds, threads.default_threads()) == taken


@pytest.mark.usefixtures("two")
def test_both_stages_are_timed_and_all_threads_are_back():
    seconds = threads.time_threads(PRESETS["built-in"], 32, 32, torch.float32)
    assert 2 in seconds
    assert set(seconds) <= {1, 2}
    assert all(each > 0 for each in seconds.values())
    assert torch.get_num_threads() == 2


def test_only_small_worlds_are_worth_a_measurement():
    assert not threads.is_large(PRESETS["built-in"], 64, 112)
    assert threads.is_large(PRESETS["built-in"], 480, 832)
    assert all(threads.is_large(preset, 480, 832) for preset in PRESETS.values())
