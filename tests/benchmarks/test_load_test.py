"""The load test measures a real server."""

from benchmarks.load_test import load, serving


def test_players_of_a_served_model_are_measured():
    with serving(["--min-fps", "120", "--grace", "0"]) as server:
        for count in (1, 2):
            reports = load(server.url, count, 120, done)
            assert [report.failure for report in reports] == [""] * count
            assert sum(report.fps > 0 for report in reports) == 1
    (waiting,) = (report for report in reports if not report.frames)
    assert waiting.waited.startswith("this server holds 1 player at ")


def done(reports):
    """Return whether one player has two chunks and all others wait."""
    playing = [report for report in reports if report.frames]
    return any(len(report.frames) > 1 for report in playing) and all(
        report.waited for report in reports if report not in playing
    )
