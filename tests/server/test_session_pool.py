"""Who plays, who waits, who comes back, and that nothing of those who vanish stays."""

import gc
import random
import re
import threading
import time
import urllib.request
import weakref
from contextlib import suppress

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from lingbot_cli.model.session import Session
from lingbot_cli.server.protocol import ClientLimits
from lingbot_cli.server.session_pool import PoolLimits
from tests.support.realtime_client import init
from tests.support.serving import TOKEN, serving

WAIT = 60


def figures(served):
    address = f"http://127.0.0.1:{served.port}/metrics?token={TOKEN}"
    with urllib.request.urlopen(address, timeout=WAIT) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^(lingbot_\w+) ([0-9.e+-]+)$", text, re.M)}


def settle(served, **wanted):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        found = figures(served)
        if all(found[f"lingbot_{name}"] == value for name, value in wanted.items()):
            return found
        time.sleep(0.05)
    raise AssertionError((wanted, found))


@pytest.fixture
def counted(monkeypatch):
    """Every session that is made, by weak reference."""
    made = weakref.WeakSet()
    begin = Session.__init__

    def remember(self, *args, **options):
        made.add(self)
        begin(self, *args, **options)

    monkeypatch.setattr(Session, "__init__", remember)
    return made


def test_fifty_clients_half_of_which_vanish_leave_nothing_and_the_last_is_served(counted):
    before = len(render_threads())
    chance = random.Random(5)
    stays = set(chance.sample(range(49), 24)) | {49}
    outcomes = {}

    def play(number):
        try:
            with served.client() as client:
                client.say(**init(max_chunks=1 if number in stays else None, seed=number))
                if number in stays:
                    frames, _ = client.chunk()
                    outcomes[number] = len(frames)
                    return
                for _ in range(chance.randrange(4)):
                    client.next()
                client.socket.socket.close()  # no goodbye
        except (ConnectionClosed, OSError, EOFError, ValueError):
            outcomes.setdefault(number, "gone")

    with serving(PoolLimits(slots=2, alive=3, queue_length=64, grace_s=0.2)) as served:
        threads = [threading.Thread(target=play, args=(number,), daemon=True) for number in range(49)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
            assert not thread.is_alive()
        play(49)
        assert [outcomes[number] for number in sorted(stays)] == [9] * 25
        found = settle(served, sessions=0, queue=0, worlds_kept=0, connections=0)
        assert found["lingbot_chunks_total"] >= 25
        assert found["lingbot_memory_bytes"] > 0
        assert found["lingbot_chunk_seconds_count"] == found["lingbot_chunks_total"]
        end = time.monotonic() + WAIT
        while len(counted) and time.monotonic() < end:
            gc.collect()
            time.sleep(0.05)
        assert len(counted) == 0
    end = time.monotonic() + WAIT
    while len(render_threads()) > before and time.monotonic() < end:
        time.sleep(0.05)
    assert len(render_threads()) <= before


def render_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("render")]


def test_clients_that_left_before_their_turn_cost_nothing():
    with serving(PoolLimits(slots=40, alive=40, grace_s=0)) as served:
        with served.client() as slow:
            slow.say(**init(size="160x160"))
            slow.until("session")
            for _ in range(30):
                with served.client() as client:
                    client.say(**init(size="160x160"))
                    client.until("session")
                    client.socket.socket.close()
            slow.chunk()
        settle(served, sessions=0)
        made = figures(served)["lingbot_chunks_total"]
        with served.client() as last:
            last.say(**init(max_chunks=1))
            last.chunk()
        assert figures(served)["lingbot_chunks_total"] <= made + 2
        assert made < 25  # not one for each of those who left


def test_who_waits_is_told_its_place_and_moves_up():
    with serving(PoolLimits(slots=1, grace_s=0)) as served, served.client() as first:
        first.say(**init())
        first.chunk()
        with served.client() as second, served.client() as third:
            second.say(**init(max_chunks=1))
            assert second.next() == {"type": "queue", "position": 1}
            third.say(**init(max_chunks=1))
            assert third.next() == {"type": "queue", "position": 2}
            third.event("prompt", "too early")
            assert third.next()["code"] == "not_yet"
            first.event("stop")
            assert len(second.chunk()[0]) == 9
            assert third.until("queue") == {"type": "queue", "position": 1}
            assert len(third.chunk()[0]) == 9


def test_a_client_that_was_cut_off_goes_on_in_the_same_world():
    with serving(PoolLimits(slots=1, grace_s=WAIT)) as served:
        with served.client() as whole:
            whole.say(**init(max_chunks=4, condition_inputs={"camera_actions": [["l"]] * 12}))
            film = np.concatenate([whole.chunk()[0] for _ in range(4)])
        with served.client() as client:
            # So slow that the second chunk is far from due when the client goes.
            slow = {"fps": 1, "realtime_output_pacing": True}
            client.say(**init(max_chunks=4, condition_inputs={"camera_actions": [["l"]] * 12}, **slow))
            key = client.until("session")["resume"]
            parts = [client.chunk()[0]]
            client.socket.socket.close()
        with served.client() as client:
            client.say(**init(resume=key, have=1))
            assert client.until("session")["state"] == "resumed"
            parts += [client.chunk()[0] for _ in range(3)]
        assert (np.concatenate(parts) == film).all()
        with served.client() as client:
            client.say(**init(resume=key))
            assert client.end() == 4404


def test_a_second_connection_takes_the_world_over():
    with serving(PoolLimits(slots=1, grace_s=WAIT)) as served, served.client() as first:
        first.say(**init())
        key = first.until("session")["resume"]
        first.chunk()
        with served.client() as second:
            second.say(**init(resume=key))
            assert second.until("session")["state"] == "resumed"
            second.chunk()
            assert first.end() == 4409


def test_a_world_is_kept_where_no_more_may_be_alive_than_play():
    with serving(PoolLimits(slots=1, alive=1, grace_s=WAIT)) as served:
        with served.client() as client:
            client.say(**init())
            key = client.until("session")["resume"]
            client.chunk()
            client.socket.socket.close()
        settle(served, sessions=0, worlds_kept=1)
        with served.client() as client:
            client.say(**init(resume=key))
            assert client.until("session")["state"] == "resumed"
            client.chunk()


def test_worlds_left_longest_ago_are_given_up_first():
    with serving(PoolLimits(slots=1, alive=2, grace_s=WAIT)) as served:
        keys = []
        for _ in range(3):
            with served.client() as client:
                client.say(**init())
                keys.append(client.until("session")["resume"])
                client.chunk()
                client.socket.socket.close()
            settle(served, sessions=0)
        assert figures(served)["lingbot_worlds_evicted_total"] >= 1
        with served.client() as client:
            client.say(**init(resume=keys[2]))
            assert client.until("session")["state"] == "resumed"
        with served.client() as client:
            client.say(**init(resume=keys[0]))
            assert client.end() == 4404


@pytest.mark.parametrize("rooms", [PoolLimits(idle_timeout_s=0.5), PoolLimits(lifetime_s=0.5)])
def test_idle_and_endless_sessions_end(rooms):
    with serving(rooms) as served, served.client() as client:
        client.say(**init(realtime_output_pacing=True))
        assert client.end() == 1000
        settle(served, sessions=0, worlds_kept=0)


def test_pause_reset_and_heartbeat(served):
    with served.client() as client:
        client.say(**init())
        first = client.chunk()[0]
        client.event("heartbeat", event_id=1)
        assert client.until("chunk_stats", event_id=1)
        client.event("pause")
        client.until("session", paused=True)
        client.event("reset", {"seed": 42})
        assert client.until("session", state="reset")["paused"] is False
        client.until("frame_batch", chunk_index=0)
        again = [m for m in client.told if m["type"] == "frame_batch"][-1]
        assert again["payload"] == first.tobytes()


def test_too_many_events_and_too_many_mistakes_end_a_connection():
    with (
        serving(limits=ClientLimits(max_events_per_s=5, max_rejected=10)) as served,
        served.client() as client,
    ):
        client.say(**init())
        client.chunk()
        with suppress(ConnectionClosed):  # the server may hang up before the last of them is out
            for _ in range(40):
                client.event("heartbeat")
        assert client.end() == 1008
        assert any(message.get("code") == "too_fast" for message in client.told)


def test_a_message_that_is_too_large_ends_the_connection():
    with serving(limits=ClientLimits(max_message_bytes=100_000)) as served, served.client() as client:
        client.say(**init(first_frame=b"x" * 200_000))
        assert client.end() == 1009
