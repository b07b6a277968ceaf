"""Admission by measured speed: clients wait when another one would slow the others down too far."""

import json
import urllib.request

import pytest

from lingbot_cli.server.capacity import Capacity
from lingbot_cli.server.session_pool import PoolLimits
from tests.support.realtime_client import init
from tests.support.serving import serving


def test_players_share_the_measured_frame_rate():
    capacity = Capacity(8, 16)
    assert (capacity.players, str(capacity)) == (1, "this server holds 1 player until its speed is measured")
    capacity.chunk_rendered(12, 0.3)  # 40 fps
    assert (capacity.players, str(capacity)) == (2, "this server holds 2 players at 16 fps")
    for _ in range(100):
        capacity.chunk_rendered(12, 0.01)
    assert capacity.players == 8
    for _ in range(100):
        capacity.chunk_rendered(12, 1.2)
    assert (capacity.players, str(capacity)) == (1, "this server holds 1 player at 10 fps")


def test_without_a_frame_rate_the_number_is_fixed():
    capacity = Capacity(3)
    capacity.chunk_rendered(12, 100.0)
    assert (capacity.players, str(capacity)) == (3, "this server holds 3 players")


def test_the_newest_32_chunks_count():
    capacity = Capacity(8, 16)
    assert capacity.fps == 0
    capacity.chunk_rendered(12, 100.0)
    for count in range(1, 33):
        capacity.chunk_rendered(12, 1.0)
        assert (capacity.fps == 12) == (count == 32)


@pytest.fixture
def at_40_fps(monkeypatch):
    """Let every measured chunk count as 12 frames in 0.3 s, however fast this machine is."""
    record = Capacity.chunk_rendered
    monkeypatch.setattr(Capacity, "chunk_rendered", lambda self, _frames, _render_s: record(self, 12, 0.3))


def health(served):
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/healthz", timeout=30) as answer:
        return json.load(answer)


@pytest.mark.usefixtures("at_40_fps")
def test_a_newcomer_waits_until_the_speed_allows_another_player():
    with (
        serving(PoolLimits(slots=8, queue_length=1, grace_s=0, min_fps=16)) as served,
        served.client() as first,
        served.client() as second,
        served.client() as third,
    ):
        assert health(served) == {"status": "ok", "free": 1}
        first.send(**init())
        for _ in range(2):  # the second chunk is the first that is measured
            first.chunk()
        assert health(served) == {"status": "ok", "free": 1}
        second.send(**init())
        second.chunk()
        third.send(**init())
        reason = "this server holds 2 players at 16 fps"
        assert third.receive() == {"type": "queue", "position": 1, "reason": reason}
        assert health(served)["free"] == 0
        with served.client() as fourth:
            fourth.send(**init())
            assert fourth.close_code() == 1013
            assert fourth.socket.close_reason == f"the queue is full; {reason}"
        first.event("stop")
        third.chunk()
