"""Session pool: admission queue, active and detached sessions, and the one thread that renders chunks."""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from lingbot_cli.operating_system import return_freed_memory
from lingbot_cli.runtime.session_memory import SessionMemory
from lingbot_cli.server.capacity import Capacity
from lingbot_cli.server.metrics import Metrics
from lingbot_cli.server.out_of_memory import attempt, attempt_again
from lingbot_cli.server.play_session import ChunkInput, PlaySession, RenderTaskResult

RELEASE_DELAY_S = 1.0  # from the end of a session to the return of its memory


@dataclass(frozen=True)
class PoolLimits:
    """Clients that play at once, most sessions in memory (detached ones included), queue length; times in seconds.

    `alive` is None for as many as fit in memory.
    `min_fps`: frame rate of every player, to which `slots` is reduced as the measured speed demands.
    """

    slots: int = 1
    min_fps: float | None = None
    alive: int | None = None
    queue_length: int = 64
    grace_s: float = 30.0
    idle_timeout_s: float = 600.0
    lifetime_s: float = 4 * 3600.0
    drain_s: float = 0.0


class QueueFull(Exception):
    """The admission queue is full, or takes no more clients."""


class SessionPool:
    """Runs on the event loop; only `render` leaves it, for the render thread."""

    def __init__(self, limits: PoolLimits, memory: SessionMemory | None = None) -> None:
        """`memory` of the sessions, without limit if None; with `min_fps` no more play than fit in it."""
        self.limits = limits
        self.metrics = Metrics()
        self._memory = memory
        slots = (
            limits.slots if memory is None or limits.min_fps is None else min(limits.slots, memory.sessions)
        )
        self.capacity = Capacity(slots, limits.min_fps)
        self.metrics.capacity.set_function(lambda: self.capacity.players)
        self._executor = ThreadPoolExecutor(1, "render")
        self._render_lock = asyncio.Lock()
        self._queue: deque[asyncio.Event] = deque()
        self._playing = 0
        self._detached: OrderedDict[str, tuple[PlaySession, asyncio.TimerHandle]] = OrderedDict()
        self._returning: dict[str, PlaySession] = {}  # attached sessions whose clients wait for a slot
        self._players: dict[str, tuple[PlaySession, asyncio.Task[None]]] = {}
        self._rendering: dict[str, asyncio.Future[None]] = {}
        self._release: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # of the clients, from the first on
        self.draining = False  # no new sessions

    @asynccontextmanager
    async def slot(
        self, on_position: Callable[[int], Awaitable[None]], *, reconnecting: bool = False
    ) -> AsyncIterator[None]:
        """Wait for a slot and hold it; `on_position` is called with each new position in the queue, from 1.

        A reconnecting client goes before clients without a session. Errors: QueueFull.
        """
        if len(self._queue) >= self.limits.queue_length:
            raise QueueFull
        self._loop = asyncio.get_running_loop()
        waiter = asyncio.Event()  # set when the queue may have moved
        (self._queue.appendleft if reconnecting else self._queue.append)(waiter)
        self._update()
        try:
            reported = 0
            while True:
                if self.draining and not reconnecting:
                    raise QueueFull
                position = self._queue.index(waiter) + 1
                if position == 1 and self._playing < self.capacity.players:
                    break
                if position != reported:
                    await on_position(position)
                    reported = position
                    continue  # the queue may have moved during the call
                waiter.clear()
                await waiter.wait()
            self._queue.remove(waiter)
            self._playing += 1
        except BaseException:
            with contextlib.suppress(ValueError):
                self._queue.remove(waiter)
            raise
        finally:
            self._update()
        try:
            yield
        finally:
            self._playing -= 1
            self._update()
            self._release_memory()

    def drain(self) -> None:
        """Begin no session any more, and send the clients without one away; from any thread."""
        self.draining = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the server has ended
                self._loop.call_soon_threadsafe(self._update)

    @property
    def free(self) -> int:
        """Number of clients that would play at once without waiting."""
        return 0 if self.draining else max(0, self.capacity.players - self._playing - len(self._queue))

    @property
    def sessions(self) -> int:
        """Number of sessions that are played or wait for their client."""
        return self._playing + len(self._returning) + len(self._detached)

    def _update(self) -> None:
        """Wake the queue and update the metrics."""
        self.metrics.sessions.set(self._playing)
        self.metrics.queue.set(len(self._queue))
        self.metrics.detached.set(len(self._detached))
        for waiter in self._queue:
            waiter.set()

    @contextlib.contextmanager
    def playing(self, session: PlaySession) -> Iterator[None]:
        """Register the current task as the player of a session while the block runs."""
        task = asyncio.current_task()
        assert task is not None
        self._players[session.resume_key] = session, task
        self._returning.pop(session.resume_key, None)
        self._evict()
        try:
            yield
        finally:
            if self._players.get(session.resume_key) == (session, task):
                del self._players[session.resume_key]
            del task  # else the traceback of an exception would hold it, and the session's memory with it

    async def disconnect_player(self, key: str) -> None:
        """End the connection that plays a session, for a client that resumes it on another one."""
        player = self._players.get(key)
        if player is not None:
            player[1].cancel()
            await asyncio.wait([player[1]])

    def detach(self, session: PlaySession) -> None:
        """Keep a session without its client for the grace time, or until its memory is needed."""
        key = session.resume_key
        self._returning.pop(key, None)
        timer = asyncio.get_running_loop().call_later(self.limits.grace_s, self._drop, key)
        self._detached[key] = session, timer
        self._evict()
        self._update()

    def attach(self, key: str) -> PlaySession | None:
        """Return the detached session of a key to its client, who plays it or detaches it again; None without one."""
        found = self._detached.pop(key, None)
        self._update()
        if found is None:
            return None
        found[1].cancel()
        self._returning[key] = found[0]
        return found[0]

    def abandon(self, session: PlaySession) -> None:
        """Drop an attached session."""
        self._returning.pop(session.resume_key, None)
        self._update()

    def _evict(self) -> None:
        """Drop the sessions detached first until the others fit in memory, and are no more than allowed."""
        while self._detached and not self._fit():
            self._drop(next(iter(self._detached)))
            self.metrics.evicted.inc()

    def _fit(self) -> bool:
        held = (*self._players.values(), *self._detached.values())
        sessions = [*self._returning.values(), *(session for session, _ in held)]
        if self.limits.alive is not None and len(sessions) > self.limits.alive:
            return False
        on_device = sum(each.device_bytes for each in sessions)
        on_host = sum(each.host_bytes for each in sessions)
        return self._memory is None or self._memory.holds(on_device, on_host)

    def _drop(self, key: str) -> None:
        found = self._detached.pop(key, None)
        if found is not None:
            found[1].cancel()
            self._release_memory()
        self._update()

    def _release_memory(self) -> None:
        """Return the memory of sessions that have ended to the system, between two chunks."""

        def release() -> None:
            self._release = None
            self._executor.submit(return_freed_memory)

        if self._release is None:
            self._release = asyncio.get_running_loop().call_later(RELEASE_DELAY_S, release)

    async def render(self, session: PlaySession) -> None:
        """Render a session's next chunk on the render thread, in turn with the other sessions.

        Its input is taken when its turn comes. A caller cancelled before that gives its turn up; one cancelled
        later leaves the chunk in `session.unsent`.
        """
        rendering = self._rendering.get(session.resume_key)
        if rendering is None:
            await self._render_lock.acquire()
            start = perf_counter()
            try:
                chunk_input = session.next_input() if session.ready else None
            except BaseException:
                self._render_lock.release()
                raise
            if chunk_input is None:
                self._render_lock.release()
                return
            rendering = asyncio.ensure_future(self._render(session, chunk_input, perf_counter() - start))
            self._rendering[session.resume_key] = rendering
            rendering.add_done_callback(partial(self._rendered, session.resume_key))
        await asyncio.shield(rendering)

    async def _render(self, session: PlaySession, chunk_input: ChunkInput, prepare_s: float) -> None:
        task = session.render_task(chunk_input, prepare_s)
        chunk = session.accept(await self._run(task))
        if chunk is not None:
            self.metrics.chunks.inc()
            self.metrics.frames.inc(len(chunk.frames))
            self.metrics.chunk_seconds.observe(chunk.render_s)
            self.metrics.fps.set(len(chunk.frames) / max(chunk.render_s, 1e-6))
            self._evict()
            if chunk.index:
                self.capacity.chunk_rendered(len(chunk.frames), chunk.render_s)
            self._update()

    async def _run(self, task: Callable[[], RenderTaskResult]) -> RenderTaskResult:
        """Run a task on the render thread; if memory runs out, drop the detached sessions and run it once more."""
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._executor, attempt, task)
        if result is None:
            for key in list(self._detached):
                self._drop(key)
                self.metrics.evicted.inc()
            result = await loop.run_in_executor(self._executor, attempt_again, task)
        return result

    def _rendered(self, key: str, future: "asyncio.Future[None]") -> None:
        del self._rendering[key]
        self._render_lock.release()
        if not future.cancelled():
            future.exception()  # marks it as retrieved, as no caller may be left

    def close(self) -> None:
        """Stop the render thread and drop every detached session."""
        for key in list(self._detached):
            self._drop(key)
        if self._release is not None:
            self._release.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)
