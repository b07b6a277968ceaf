"""Session pool without a model: the queue's places, detached sessions, eviction and the end."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import pytest

from lingbot_cli.server.session_pool import PoolLimits, QueueFull, SessionPool


def session(key):
    return SimpleNamespace(resume_key=key, device_bytes=100, host_bytes=10)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


class Client:
    """A client that waits for a slot and holds it until it leaves."""

    def __init__(self, pool, *, reconnecting=False):
        self.positions, self.playing, self._leave = [], False, asyncio.Event()
        self.task = asyncio.create_task(self._play(pool, reconnecting))

    async def _play(self, pool, reconnecting):
        async def report(position):
            self.positions.append(position)

        async with pool.slot(report, reconnecting=reconnecting):
            self.playing = True
            await self._leave.wait()
        self.playing = False

    async def leave(self):
        self._leave.set()
        await self.task


def with_pool(test, memory=None, **limits):
    """Run a test with a pool on an event loop."""

    async def run():
        pool = SessionPool(PoolLimits(**limits), memory)
        try:
            await test(pool)
        finally:
            pool.close()

    asyncio.run(run())


def test_slots_are_given_in_order_and_positions_reported_once():
    async def test(pool):
        assert (pool.free, pool.sessions) == (2, 0)
        clients = []
        for _ in range(4):
            clients.append(Client(pool))
            await settle()
        assert [client.playing for client in clients] == [True, True, False, False]
        assert [client.positions for client in clients] == [[], [], [1], [2]]
        assert (pool.free, pool.sessions) == (0, 2)
        await clients[1].leave()
        await settle()
        assert [client.playing for client in clients] == [True, False, True, False]
        assert clients[3].positions == [2, 1]
        clients[3].task.cancel()
        await settle()
        await clients[0].leave()
        await settle()
        assert (pool.free, pool.sessions) == (1, 1)
        await clients[2].leave()
        assert pool.free == 2

    with_pool(test, slots=2)


def test_the_queue_has_a_length_and_a_full_one_refuses():
    async def test(pool):
        clients = []
        for _ in range(3):
            clients.append(Client(pool))
            await settle()
        late = Client(pool)
        with pytest.raises(QueueFull):
            await late.task
        for client in clients:
            await client.leave()
            await settle()

    with_pool(test, slots=1, queue_length=2)


def test_a_server_that_ends_sends_waiting_clients_away_and_takes_players_back():
    async def test(pool):
        player, waiting = Client(pool), Client(pool)
        await settle()
        pool.drain()
        await settle()
        assert pool.free == 0
        with pytest.raises(QueueFull):
            await waiting.task
        returning = Client(pool, reconnecting=True)
        await player.leave()
        await settle()
        assert returning.playing
        new = Client(pool)
        with pytest.raises(QueueFull):
            await new.task
        await returning.leave()

    with_pool(test, slots=1)


def test_a_detached_session_is_attached_once_and_by_its_key():
    async def test(pool):
        first = session("a")
        pool.detach(first)
        assert pool.sessions == 1
        assert pool.attach("b") is None
        assert pool.attach("a") is first
        assert pool.attach("a") is None
        assert pool.sessions == 1  # its client waits for a slot
        pool.abandon(first)
        assert pool.sessions == 0

    with_pool(test, grace_s=60)


def test_a_detached_session_is_dropped_after_the_grace_time():
    async def test(pool):
        pool.detach(session("a"))
        pool.detach(kept := session("b"))
        assert pool.attach("b") is kept
        await asyncio.sleep(0.05)
        assert pool.attach("a") is None
        assert pool.sessions == 1

    with_pool(test, grace_s=0.01)


def test_the_session_detached_first_makes_room():
    async def test(pool):
        sessions = {key: session(key) for key in "abc"}
        for each in sessions.values():
            pool.detach(each)
        assert pool.sessions == 2
        assert pool.metrics.evicted.collect()[0].samples[0].value == 1
        assert pool.attach("a") is None
        assert pool.attach("b") is sessions["b"]
        with pool.playing(sessions["b"]):
            pool.detach(session("d"))
            assert pool.attach("c") is None
            assert pool.sessions == 1
        assert pool.metrics.evicted.collect()[0].samples[0].value == 2

    with_pool(test, alive=2, grace_s=60)


def test_a_returning_client_ends_its_other_connection():
    async def test(pool):
        first = session("a")
        ended = []

        async def play():
            try:
                with pool.playing(first):
                    await asyncio.sleep(60)
            finally:
                ended.append("a")

        player = asyncio.create_task(play())
        await settle()
        await pool.disconnect_player("b")
        assert ended == []
        await pool.disconnect_player("a")
        assert ended == ["a"]
        with suppress(asyncio.CancelledError):
            await player
        await pool.disconnect_player("a")

    with_pool(test)


def test_a_later_player_stays_registered_when_an_earlier_one_ends():
    async def test(pool):
        shared = session("a")
        go_on = [asyncio.Event(), asyncio.Event()]

        async def play(number):
            with pool.playing(shared):
                await go_on[number].wait()

        tasks = [asyncio.create_task(play(number)) for number in range(2)]
        await settle()
        go_on[0].set()
        await tasks[0]
        ending = asyncio.create_task(pool.disconnect_player("a"))
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        await ending

    with_pool(test)


def test_sessions_are_kept_while_they_fit_in_memory():
    asked = []

    def holds(on_device, on_host):
        asked.append((on_device, on_host))
        return on_device <= 200

    async def test(pool):
        for key in "abc":
            pool.detach(session(key))
        assert pool.attach("a") is None
        found = pool.attach("b")
        with pool.playing(found):
            pool.detach(session("d"))
            assert [pool.attach(key) is None for key in "cd"] == [True, False]
        assert max(asked) == (300, 30)

    with_pool(test, SimpleNamespace(sessions=9, holds=holds), grace_s=60)


@pytest.mark.parametrize(("min_fps", "players"), [(None, 4), (16, 1)])
def test_no_more_play_than_fit_in_memory(min_fps, players):
    async def test(pool):
        assert pool.free == players
        pool.capacity.chunk_rendered(1600, 1)
        assert pool.free == (4 if min_fps is None else 2)

    with_pool(test, SimpleNamespace(sessions=2, holds=lambda *_: True), slots=4, min_fps=min_fps)
