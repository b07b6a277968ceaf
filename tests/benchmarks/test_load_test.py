"""The load test measures a real server."""

from benchmarks.load_test import load, serving


def test_players_of_a_served_model_are_measured():
    with serving(["--min-fps", "120", "--grace", "0"]) as server:
        for count in (1, 2):
            reports = load(server.url, count, 3)
            assert [report.failure for report in reports] == [""] * count
            assert sum(report.fps > 0 for report in reports) == 1
    assert sorted(report.waited for report in reports)[1].startswith("this server holds 1 player at ")
