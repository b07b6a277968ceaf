"""The benchmark's published operations give the same video."""

import pytest

from benchmarks.published_operations import NOW, PUBLISHED, measure
from tests.support.reference import tiny_world


@pytest.mark.filterwarnings("error")
def test_all_operations_give_the_same_frames():
    runs, largest = measure(tiny_world(), 48, 80, warm_up=3, rounds=2)
    assert largest <= 1
    assert [len(spent) for run in runs for spent in run.seconds.values()] == [2] * 6
    assert (runs[0].name, runs[-1].name) == (PUBLISHED, NOW)
