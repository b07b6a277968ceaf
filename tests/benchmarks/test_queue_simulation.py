"""Queue times follow the theory of queues, and places the measured speed."""

import math

import pytest

from benchmarks.queue_simulation import main, players_a_server, simulate


def erlang_c(places, load):
    """Return the share of players that wait, by Erlang's formula."""
    last = load**places / math.factorial(places) * places / (places - load)
    return last / (sum(load**n / math.factorial(n) for n in range(places)) + last)


@pytest.mark.parametrize(("places", "load"), [(1, 0.5), (4, 3.0), (20, 16.0)])
def test_waits_are_those_of_erlang(places, load):
    times = simulate(places, load * 6, 10, 100_000)
    assert times.waited == pytest.approx(erlang_c(places, load), abs=0.03)


def test_a_server_holds_the_players_of_its_speed():
    assert players_a_server(0.75, 3, 16) == 1
    assert players_a_server(0.25, 3, 16) == 3
    assert players_a_server(0.25, 3, 8) == 6


def test_the_table_ends_where_nobody_waits(capsys):
    assert main(["--chunk-s", "0.25", "--players-an-hour", "60", "--minutes", "10", "--price", "2"]) == 0
    assert "3 players a GPU at 16 fps" in capsys.readouterr().out
