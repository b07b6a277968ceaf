"""Who plays, who waits and whose world is kept: places, a queue, and one thread that makes chunks."""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from lingbot_cli.server.metrics import Metrics
from lingbot_cli.server.play_session import ChunkInput, PlaySession


@dataclass(frozen=True)
class Rooms:
    """How many may play at once and how many worlds may be alive, kept ones included; times in seconds."""

    places: int = 1
    alive: int = 4
    waiting: int = 64
    grace: float = 30.0
    idle: float = 600.0
    lifetime: float = 4 * 3600.0


@dataclass
class _Waiter:
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class QueueFull(Exception):
    """The queue takes no more."""


class SessionPool:
    """All of it runs on the event loop; only `make` leaves it, for the world's own thread."""

    def __init__(self, rooms: Rooms, metrics: Metrics) -> None:
        self.rooms = rooms
        self.metrics = metrics
        self._thread = ThreadPoolExecutor(1, "world")
        self._turn = asyncio.Lock()
        self._waiting: deque[_Waiter] = deque()
        self._playing = 0
        self._kept: OrderedDict[str, tuple[PlaySession, asyncio.TimerHandle]] = OrderedDict()
        self._players: dict[str, asyncio.Task[None]] = {}
        self._making: dict[str, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def place(
        self, tell: Callable[[int], Awaitable[None]], *, back: bool = False
    ) -> AsyncIterator[None]:
        """A place to play in; `tell` hears the position in the queue, from 1, whenever it changes.

        A client that comes `back` to its world goes before those who have none yet.
        """
        if len(self._waiting) >= self.rooms.waiting:
            raise QueueFull
        ticket = _Waiter()
        (self._waiting.appendleft if back else self._waiting.append)(ticket)
        self._count()
        try:
            told = 0
            while (position := self._waiting.index(ticket) + 1) > 1 or self._playing >= self.rooms.places:
                if position != told:
                    await tell(position)
                    told = position
                    continue  # things may have moved while it was told
                ticket.changed.clear()
                await ticket.changed.wait()
            self._waiting.remove(ticket)
            self._playing += 1
        except BaseException:
            with contextlib.suppress(ValueError):
                self._waiting.remove(ticket)
            raise
        finally:
            self._count()
        try:
            yield
        finally:
            self._playing -= 1
            self._count()

    def _count(self) -> None:
        """After every change: who waits looks again, and the figures follow."""
        self.metrics.sessions.set(self._playing)
        self.metrics.queue.set(len(self._waiting))
        self.metrics.kept.set(len(self._kept))
        for ticket in self._waiting:
            ticket.changed.set()

    @contextlib.contextmanager
    def player(self, living: PlaySession) -> Iterator[None]:
        """While the block runs, the current task is the one that plays this world, which is alive."""
        task = asyncio.current_task()
        assert task is not None
        self._players[living.key] = task
        self.make_room()
        try:
            yield
        finally:
            if self._players.get(living.key) is task:
                del self._players[living.key]

    async def take_over(self, key: str) -> None:
        """End the connection that plays a world, for its client has come back on another one."""
        player = self._players.get(key)
        if player is not None:
            player.cancel()
            await asyncio.wait([player])

    def keep(self, living: PlaySession) -> None:
        """Hold a world that nobody plays any more, for the grace time or until room is needed."""
        timer = asyncio.get_running_loop().call_later(self.rooms.grace, self._drop, living.key)
        self._kept[living.key] = living, timer
        self.make_room()
        self._count()

    def claim(self, key: str) -> PlaySession | None:
        """The kept world of a key, for its client that is back."""
        found = self._kept.pop(key, None)
        self._count()
        if found is None:
            return None
        found[1].cancel()
        return found[0]

    def make_room(self) -> None:
        """Give up the kept worlds that were left longest ago until no more are alive than may be."""
        while self._kept and len(self._players) + len(self._kept) > self.rooms.alive:
            self._drop(next(iter(self._kept)))
            self.metrics.evicted.inc()

    def _drop(self, key: str) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            found[1].cancel()
        self._count()

    async def make(self, living: PlaySession) -> None:
        """Have the next chunk made, when it is this world's turn.

        It is told what was said until then. A waiter that leaves before gives its turn up; one that leaves
        later finds the chunk unsent when it comes back.
        """
        under_way = self._making.get(living.key)
        if under_way is None:
            await self._turn.acquire()
            try:
                told = living.tell() if living.ready else None
            except BaseException:
                self._turn.release()
                raise
            if told is None:
                self._turn.release()
                return
            under_way = asyncio.ensure_future(self._make(living, told))
            self._making[living.key] = under_way
            under_way.add_done_callback(partial(self._made, living.key))
        await asyncio.shield(under_way)

    async def _make(self, living: PlaySession, told: ChunkInput) -> None:
        loop = asyncio.get_running_loop()
        made = living.take(await loop.run_in_executor(self._thread, living.work(told)))
        if made is not None:
            self.metrics.chunks.inc()
            self.metrics.frames.inc(len(made.frames))
            self.metrics.chunk_seconds.observe(made.seconds)
            self.metrics.fps.set(len(made.frames) / max(made.seconds, 1e-6))

    def _made(self, key: str, future: "asyncio.Future[None]") -> None:
        del self._making[key]
        self._turn.release()
        if not future.cancelled():
            future.exception()  # whoever waited has it; nobody may have

    def close(self) -> None:
        """Let the thread go and forget every kept world."""
        for key in list(self._kept):
            self._drop(key)
        self._thread.shutdown(wait=False, cancel_futures=True)
