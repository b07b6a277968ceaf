"""The soak test drops sessions in every way and finds growth."""

from benchmarks import soak
from benchmarks.soak import WAYS, Usage, failures


def test_sessions_are_dropped_and_the_server_is_measured(monkeypatch):
    monkeypatch.setattr(soak, "STEP", len(WAYS))
    lines = []
    usages = soak.soak(2 * len(WAYS), [], lines.append)
    assert [usage.sessions for usage in usages] == [6, 12]
    assert usages[1].files <= usages[0].files
    assert len(lines) == 2


def test_growth_after_the_warm_up_is_reported():
    steady = [Usage(50, 300, 9, 9), Usage(100, 1000, 7, 11), Usage(150, 1015, 7, 11)]
    assert failures(steady) == []
    for grown in (Usage(200, 1030, 7, 11), Usage(200, 1000, 8, 11), Usage(200, 1000, 7, 16)):
        assert len(failures([*steady, grown])) == 1
