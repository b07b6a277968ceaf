"""Admission queue, detached sessions and eviction; clients that disconnect leak nothing."""

import gc
import itertools
import random
import re
import threading
import time
import urllib.request
import weakref
from contextlib import suppress

import msgpack
import numpy as np
import pytest
import torch
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks.soak import WAYS
from lingbot_cli.model.session import Session
from lingbot_cli.server import play_session
from lingbot_cli.server.protocol import ClientLimits
from lingbot_cli.server.session_pool import PoolLimits
from tests.support.processes import wait_until
from tests.support.realtime_client import ROUTE, init
from tests.support.serving import TOKEN, serving

WAIT = 60


def read_metrics(served):
    address = f"http://127.0.0.1:{served.port}/metrics?token={TOKEN}"
    with urllib.request.urlopen(address, timeout=WAIT) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^(lingbot_\w+) ([0-9.e+-]+)$", text, re.M)}


def wait_for(served, **wanted):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        found = read_metrics(served)
        if all(found[f"lingbot_{name}"] == value for name, value in wanted.items()):
            return found
        time.sleep(0.05)
    raise AssertionError((wanted, found))


@pytest.fixture
def counted(monkeypatch):
    """Return the set of sessions created, by weak reference."""
    made = weakref.WeakSet()
    begin = Session.__init__

    def remember(self, *args, **options):
        made.add(self)
        begin(self, *args, **options)

    monkeypatch.setattr(Session, "__init__", remember)
    return made


def test_the_capacity_is_known_before_the_first_client_comes():
    with serving(PoolLimits(slots=3)) as served:
        assert read_metrics(served)["lingbot_capacity"] == 3


def test_fifty_clients_half_of_which_disconnect_leak_nothing(counted):
    before = len(render_threads())
    chance = random.Random(5)
    stays = set(chance.sample(range(49), 24)) | {49}
    outcomes = {}

    def play(number):
        try:
            with served.client() as client:
                client.send(**init(max_chunks=1 if number in stays else None, seed=number))
                if number in stays:
                    frames, _ = client.chunk()
                    outcomes[number] = len(frames)
                    return
                for _ in range(chance.randrange(4)):
                    client.receive()
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
        found = wait_for(served, sessions=0, queue=0, worlds_kept=0, connections=0)
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


def test_clients_that_disconnect_before_their_turn_cost_nothing():
    with serving(PoolLimits(slots=40, alive=40, grace_s=0)) as served:
        with served.client() as slow:
            slow.send(**init(size="160x160"))
            slow.until("session")
            for _ in range(30):
                with served.client() as client:
                    client.send(**init(size="160x160"))
                    client.until("session")
                    client.socket.socket.close()
            slow.chunk()
        wait_for(served, sessions=0)
        made = read_metrics(served)["lingbot_chunks_total"]
        with served.client() as last:
            last.send(**init(max_chunks=1))
            last.chunk()
        assert read_metrics(served)["lingbot_chunks_total"] <= made + 2
        assert made < 25  # not one for each client that disconnected


def test_waiting_clients_get_their_position():
    with serving(PoolLimits(slots=1, grace_s=0)) as served, served.client() as first:
        first.send(**init())
        first.chunk()
        with served.client() as second, served.client() as third:
            second.send(**init(max_chunks=1))
            assert second.receive()["position"] == 1
            third.send(**init(max_chunks=1))
            assert third.receive()["position"] == 2
            third.event("prompt", "too early")
            assert third.receive()["code"] == "not_yet"
            first.event("stop")
            assert len(second.chunk()[0]) == 9
            assert third.until("queue")["position"] == 1
            assert len(third.chunk()[0]) == 9


def test_a_disconnected_client_resumes_its_session():
    with serving(PoolLimits(slots=1, grace_s=WAIT)) as served:
        with served.client() as whole:
            whole.send(**init(max_chunks=4, condition_inputs={"camera_actions": [["l"]] * 12}))
            film = np.concatenate([whole.chunk()[0] for _ in range(4)])
        with served.client() as client:
            # So slow that the second chunk is far from due when the client goes.
            slow = {"fps": 1, "realtime_output_pacing": True}
            client.send(**init(max_chunks=4, condition_inputs={"camera_actions": [["l"]] * 12}, **slow))
            key = client.until("session")["resume"]
            parts = [client.chunk()[0]]
            client.socket.socket.close()
        with served.client() as client:
            client.send(**init(resume=key, have=1))
            assert client.until("session")["state"] == "resumed"
            parts += [client.chunk()[0] for _ in range(3)]
        assert (np.concatenate(parts) == film).all()
        with served.client() as client:
            client.send(**init(resume=key))
            assert client.close_code() == 4404


def test_a_second_connection_takes_the_session_over():
    with serving(PoolLimits(slots=1, grace_s=WAIT)) as served, served.client() as first:
        first.send(**init())
        key = first.until("session")["resume"]
        first.chunk()
        with served.client() as second:
            second.send(**init(resume=key))
            assert second.until("session")["state"] == "resumed"
            second.chunk()
            assert first.close_code() == 4409


def test_a_session_is_detached_though_no_more_may_be_alive_than_play():
    with serving(PoolLimits(slots=1, alive=1, grace_s=WAIT)) as served:
        with served.client() as client:
            client.send(**init())
            key = client.until("session")["resume"]
            client.chunk()
            client.socket.socket.close()
        wait_for(served, sessions=0, worlds_kept=1)
        with served.client() as client:
            client.send(**init(resume=key))
            assert client.until("session")["state"] == "resumed"
            client.chunk()


def test_the_sessions_detached_first_are_evicted_first():
    with serving(PoolLimits(slots=1, alive=2, grace_s=WAIT)) as served:
        keys = []
        for _ in range(3):
            with served.client() as client:
                client.send(**init())
                keys.append(client.until("session")["resume"])
                client.chunk()
                client.socket.socket.close()
            wait_for(served, sessions=0)
        assert read_metrics(served)["lingbot_worlds_evicted_total"] >= 1
        with served.client() as client:
            client.send(**init(resume=keys[2]))
            assert client.until("session")["state"] == "resumed"
        with served.client() as client:
            client.send(**init(resume=keys[0]))
            assert client.close_code() == 4404


@pytest.mark.parametrize("rooms", [PoolLimits(idle_timeout_s=0.5), PoolLimits(lifetime_s=0.5)])
def test_idle_and_too_long_sessions_end(rooms):
    with serving(rooms) as served, served.client() as client:
        client.send(**init(realtime_output_pacing=True))
        assert client.close_code() == 1000
        wait_for(served, sessions=0, worlds_kept=0)


def test_pause_reset_and_heartbeat(served):
    with served.client() as client:
        client.send(**init())
        first = client.chunk()[0]
        client.event("heartbeat", event_id=1)
        assert client.until("chunk_stats", event_id=1)
        client.event("pause")
        client.until("session", paused=True)
        client.event("reset", {"seed": 42})
        assert client.until("session", state="reset")["paused"] is False
        client.until("frame_batch", chunk_index=0)
        again = [m for m in client.messages if m["type"] == "frame_batch"][-1]
        assert again["payload"] == first.tobytes()


def test_too_many_events_and_errors_close_a_connection():
    with (
        serving(limits=ClientLimits(max_events_per_s=5, max_rejected=10)) as served,
        served.client() as client,
    ):
        client.send(**init())
        client.chunk()
        with suppress(ConnectionClosed):  # the server may hang up before the last of them is out
            for _ in range(40):
                client.event("heartbeat")
        assert client.close_code() == 1008
        assert any(message.get("code") == "too_fast" for message in client.messages)


def test_a_message_that_is_too_large_closes_the_connection():
    with serving(limits=ClientLimits(max_message_bytes=100_000)) as served, served.client() as client:
        client.send(**init(first_frame=b"x" * 200_000))
        assert client.close_code() == 1009


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_ended_session_is_freed_without_the_garbage_collector(way, counted):
    with serving(PoolLimits(grace_s=0)) as served:
        gc.disable()
        try:
            with connect(f"ws://127.0.0.1:{served.port}{ROUTE}?token={TOKEN}", max_size=None) as socket:
                socket.send(msgpack.packb(init()))
                socket.recv(WAIT)
                way(socket)
            wait_for(served, connections=0, worlds_kept=0)
            wait_until(lambda: not counted)  # the last reference may be the render thread's
        finally:
            gc.enable()


@pytest.mark.parametrize(
    ("owner", "place", "call"),
    [
        *((Session, "__init__", 1), (Session, "_set_prompt", 2), (Session, "_forward", 7)),
        *((Session, "decode", 3), (Session, "_draw_ahead", 2), (play_session, "check_latents", 2)),
    ],
)
def test_a_chunk_without_memory_is_rendered_again_without_the_detached_sessions(
    monkeypatch, owner, place, call
):
    walk = init(condition_inputs={"camera_actions": [["l"]] * 9})
    with serving(PoolLimits(slots=1, alive=4, grace_s=60)) as served:
        with served.client() as first:
            first.send(**walk)
            expected = [first.chunk()[0] for _ in range(3)]
            first.socket.socket.close()
        wait_for(served, sessions=0, worlds_kept=1)
        fail_at(monkeypatch, place, {call}, owner)
        with served.client() as second:
            second.send(**walk, max_chunks=3)
            for frames in expected:
                assert (second.chunk()[0] == frames).all()
        assert wait_for(served, worlds_kept=0)["lingbot_worlds_evicted_total"] == 1


def test_a_chunk_without_memory_twice_ends_its_session_alone(monkeypatch):
    with serving(PoolLimits(slots=2, grace_s=0)) as served, served.client() as player:
        player.send(**init())
        player.chunk()
        fail_at(monkeypatch, "__init__", {1, 2})
        with served.client() as second:
            second.send(**init())
            error = second.until("error")
            assert error["code"] == "out_of_memory"
            assert error["content"] == (
                "not enough memory for the next chunk; use a smaller size, a smaller window or fewer sessions"
            )
            assert second.close_code() == 1011
        for _ in range(3):
            player.chunk()


def fail_at(monkeypatch, place, calls, owner=Session):
    """Let a function, of sessions by default, run out of memory at some of its calls, counted from 1."""
    function, count = getattr(owner, place), itertools.count(1)

    def without_memory(*args, **options):
        if next(count) in calls:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return function(*args, **options)

    monkeypatch.setattr(owner, place, without_memory)
