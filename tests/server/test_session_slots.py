"""Session pool without a model: the queue's places, detached sessions, eviction, chunks and the end."""

import asyncio
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest

from lingbot_cli.errors import InsufficientMemoryError
from lingbot_cli.server.session_pool import PoolLimits, QueueFull, SessionPool


def session(key, chunks=()):
    """Return a session whose chunks are these: values, or functions that return them on the render thread."""
    waiting = list(chunks)

    def render_task(chunk_input, prepare_s):
        made.prepared_s.append(prepare_s)
        return lambda: chunk_input() if callable(chunk_input) else chunk_input

    made = SimpleNamespace(
        resume_key=key,
        device_bytes=100,
        host_bytes=10,
        ready=True,
        prepared_s=[],
        accepted=[],
        next_input=lambda: waiting.pop(0) if waiting else None,
        render_task=render_task,
        accept=lambda result: made.accepted.append(result) or result,
    )
    return made


def chunk(index, frames=12, render_s=0.5):
    return SimpleNamespace(index=index, frames=[None] * frames, render_s=render_s)


def value(metric):
    return metric.collect()[0].samples[0].value


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
            await asyncio.wait_for(test(pool), 30)
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


def test_the_limits_of_a_pool_without_options():
    assert PoolLimits() == PoolLimits(1, None, None, 64, 30, 600, 14_400, 0)


def test_a_session_whose_client_waits_for_a_slot_counts_as_alive():
    async def test(pool):
        pool.detach(session("a"))
        waiting = pool.attach("a")
        pool.detach(session("b"))
        assert pool.sessions == 2
        pool.detach(session("c"))
        assert pool.attach("b") is None
        assert pool.sessions == 2
        pool.abandon(waiting)
        assert pool.sessions == 1

    with_pool(test, alive=2, grace_s=60)


def test_rendered_chunks_are_counted_and_all_but_the_first_measured():
    async def test(pool):
        player = session("a", [chunk(0, 9, 9.0), chunk(1), chunk(2, render_s=0.0)])
        await pool.render(player)
        assert (value(pool.metrics.chunks), value(pool.metrics.frames), pool.capacity.fps) == (1, 9, 0)
        assert value(pool.metrics.fps) == 1
        await pool.render(player)
        assert (value(pool.metrics.chunks), value(pool.metrics.frames), pool.capacity.fps) == (2, 21, 24)
        await pool.render(player)
        assert value(pool.metrics.fps) == pytest.approx(12e6)  # of a chunk that took no time, a microsecond
        assert [found.index for found in player.accepted] == [0, 1, 2]
        assert all(0 <= prepared_s < 60 for prepared_s in player.prepared_s)
        await pool.render(player)  # without an input
        assert value(pool.metrics.chunks) == 3

    with_pool(test)


def test_a_player_that_is_not_ready_renders_nothing_and_blocks_nobody():
    async def test(pool):
        idle, player = session("a", [chunk(0)]), session("b", [chunk(0)])
        idle.ready = False
        await pool.render(idle)
        await pool.render(player)
        assert (idle.accepted, len(player.accepted)) == ([], 1)

        def fail():
            raise ValueError("no input")

        player.next_input = fail
        with pytest.raises(ValueError, match="no input"):
            await pool.render(player)
        idle.ready = True
        await pool.render(idle)
        assert len(idle.accepted) == 1

    with_pool(test)


def test_a_caller_that_leaves_does_not_end_the_chunk():
    async def test(pool):
        go_on = threading.Event()

        def slow():
            assert go_on.wait(30)
            return chunk(0)

        player = session("a", [slow, chunk(1)])
        caller = asyncio.create_task(pool.render(player))
        await settle()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        again = asyncio.create_task(pool.render(player))  # waits for the chunk in progress
        await settle()
        assert player.accepted == []
        go_on.set()
        await again
        assert [found.index for found in player.accepted] == [0]
        await pool.render(player)
        assert [found.index for found in player.accepted] == [0, 1]

    with_pool(test)


def test_a_chunk_without_memory_drops_the_detached_sessions_and_is_rendered_again():
    async def test(pool):
        tries = []

        def short_of_memory():
            tries.append(pool.sessions)
            if len(tries) == 1:
                raise MemoryError
            return chunk(0)

        for key in "ab":
            pool.detach(session(key))
        player = session("c", [short_of_memory])
        await pool.render(player)
        assert tries == [2, 0]
        assert value(pool.metrics.evicted) == 2
        assert len(player.accepted) == 1

    with_pool(test, grace_s=60)


def test_a_chunk_that_runs_out_of_memory_twice_is_an_error_of_its_session_alone():
    async def test(pool):
        def no_memory():
            raise MemoryError

        with pytest.raises(InsufficientMemoryError, match="not enough memory for the next chunk"):
            await pool.render(session("a", [no_memory]))
        other = session("b", [chunk(0)])
        await pool.render(other)
        assert len(other.accepted) == 1

    with_pool(test)
