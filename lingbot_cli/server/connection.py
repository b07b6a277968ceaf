"""One client, from its init to its end: it says things, waits for its place, and gets its chunks."""

import asyncio
import logging
from time import monotonic, perf_counter

from starlette.websockets import WebSocket

from lingbot_cli.errors import LingbotError
from lingbot_cli.redact import redact
from lingbot_cli.server.client_events import ClientEvent, OutputChange, Reset, SessionCommand, parse_event
from lingbot_cli.server.frames import FrameFormat, frame_messages
from lingbot_cli.server.hear import hear
from lingbot_cli.server.messages import Init, parse_init
from lingbot_cli.server.pacing import ChunkPacer
from lingbot_cli.server.play_session import ChunkOutput, PlaySession
from lingbot_cli.server.protocol import ProtocolError, RateLimiter
from lingbot_cli.server.service import Service
from lingbot_cli.server.session_pool import QueueFull, SessionPool
from lingbot_cli.server.stats import DeliveryTimes, chunk_stats
from lingbot_cli.server.websocket import DISCONNECTED, ClientWebSocket, CloseConnection

log = logging.getLogger("lingbot.live")

_REMEMBERED = 1000  # events whose latency is measured


class Connection:
    """Two tasks: one hears, one makes and sends. Whichever ends first ends the other."""

    def __init__(self, socket: WebSocket, hub: SessionPool, service: Service) -> None:
        self._wire = ClientWebSocket(socket, service.limits, hub.metrics)
        self._hub = hub
        self._service = service
        self._living: PlaySession | None = None
        self._form = FrameFormat()
        self._paced = False
        self._over = False
        self._stirred = asyncio.Event()
        self._allowance = RateLimiter(service.limits.events_a_second)
        self._said: dict[int, float] = {}

    async def run(self) -> None:
        """Serve the client until it leaves or must; afterwards its place is free and its tasks are done."""
        self._hub.metrics.connections.inc()
        try:
            init, living = await self._begin()
            await self._serve(init, living)
        except CloseConnection as leave:
            await self._wire.close(leave.code, leave.reason)
        except DISCONNECTED:
            log.info("a client is gone")
        except LingbotError as wrong:
            await self._wire.fail(ProtocolError("failed", str(wrong), retry=False))
        except Exception as bug:
            log.error("a session failed: %s", redact(f"{type(bug).__name__}: {bug}"))
            short = type(bug).__name__ == "OutOfMemoryError"  # torch's, and torch is not imported here
            said = ("out_of_memory", "not enough memory") if short else ("internal", "the server failed")
            await self._wire.fail(ProtocolError(*said, retry=False))
        finally:
            self._hub.metrics.connections.dec()

    async def _begin(self) -> tuple[Init, PlaySession | None]:
        """The first good init and its world; None stands for a world that is to be claimed."""
        while True:
            try:
                message = await self._wire.receive(self._service.limits.first_message)
            except TimeoutError:
                raise CloseConnection(1008, "no init came") from None
            try:
                init = parse_init(message, self._service.limits, len(self._service.world.preset.steps))
                living = None if init.resume else await asyncio.to_thread(self._service.living, init)
            except ProtocolError as refusal:
                await self._wire.refuse(refusal)
                continue
            self._paced = bool(init.realtime_output_pacing)
            self._form = FrameFormat(
                init.realtime_output_format or "raw",
                init.realtime_preview_max_width or 0,
                init.output_compression,
            )
            return init, living

    async def _serve(self, init: Init, living: PlaySession | None) -> None:
        tasks = [asyncio.create_task(self._play(init, living)), asyncio.create_task(self._listen())]
        try:
            lifetime = self._hub.rooms.lifetime
            done, _ = await asyncio.wait(tasks, timeout=lifetime, return_when=asyncio.FIRST_COMPLETED)
            self._over = not done or any(_left(task) for task in done)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if task in done:
                if task.cancelled():
                    raise CloseConnection(4409, "this world is played on another connection")
                task.result()
        raise CloseConnection(1000, "the session's time is over")

    async def _listen(self) -> None:
        while True:
            try:
                message = await self._wire.receive(self._hub.rooms.idle)
            except TimeoutError:
                raise CloseConnection(1000, "nothing was said for too long") from None
            try:
                if not self._allowance.take(monotonic()):
                    raise ProtocolError(
                        "too_fast", f"at most {self._service.limits.events_a_second} events a second"
                    )
                event = parse_event(message, self._service.limits)
                self._take(event)
                await self._answer(event)
            except ProtocolError as refusal:
                await self._wire.refuse(refusal)

    def _take(self, event: ClientEvent) -> None:
        if event.said == SessionCommand("stop"):
            raise CloseConnection(1000, "stopped")
        if self._living is None:
            if event.said == SessionCommand("heartbeat"):
                return
            raise ProtocolError("not_yet", "the world has not begun: wait for its turn")
        if isinstance(event.said, OutputChange):
            self._form = self._form.changed(event.said)
        hear(self._living, event, self._service.limits)
        if event.id is not None and len(self._said) < _REMEMBERED:
            self._said[event.id] = monotonic()
        self._stirred.set()

    async def _answer(self, event: ClientEvent) -> None:
        """What changes the session as a whole is told at once, not with a chunk."""
        if self._living is None:
            return
        if isinstance(event.said, Reset):
            await self._tell_session(self._living, "reset")
        elif event.said in (SessionCommand("pause"), SessionCommand("resume")):
            await self._tell_session(self._living, "paused" if self._living.paused else "playing")

    async def _play(self, init: Init, living: PlaySession | None) -> None:
        back = living is None
        if init.resume is not None:
            await self._hub.take_over(init.resume)
        try:
            async with self._hub.place(self._tell_position, back=back):
                if living is None:
                    living = self._hub.claim(init.resume or "")
                if living is None or (back and init.have is not None and not living.rewind(init.have)):
                    raise CloseConnection(4404, "that world is gone")
                self._hub.metrics.begun.inc()
                self._living = living
                try:
                    with self._hub.player(living):
                        await self._tell_session(living, "resumed" if back else "started")
                        await self._produce(living)
                except (asyncio.CancelledError, *DISCONNECTED):
                    if not self._over:
                        self._hub.keep(living)
                    raise
                if living.setting.exact:
                    self._hub.keep(living)  # should its last chunk be lost on the way
                raise CloseConnection(1000, "all chunks are made")
        except QueueFull:
            raise CloseConnection(1013, "the queue is full") from None

    async def _produce(self, living: PlaySession) -> None:
        pace = ChunkPacer()
        while True:
            if living.unsent:
                made = living.unsent[0]
                await self._deliver(living, made, pace)
                living.sent(made)
                self._service.on_chunk(living)
            elif living.finished:
                await self._tell_session(living, "ended")
                return
            elif not living.ready:
                self._stirred.clear()
                await self._stirred.wait()
            else:
                if self._paced:
                    await asyncio.sleep(pace.until_begin(monotonic()))
                if living.ready:
                    await self._hub.make(living)

    async def _deliver(self, living: PlaySession, made: ChunkOutput, pace: ChunkPacer) -> None:
        began = perf_counter()
        heard = made.told.event_ids
        request_id = f"{living.key[:8]}-{made.index}"
        messages = await asyncio.to_thread(
            frame_messages,
            made.frames,
            self._form,
            request_id=request_id,
            chunk_index=made.index,
            event_id=heard[-1] if heard else None,
        )
        built = perf_counter()
        waited = pace.until_due(monotonic()) if self._paced else 0.0
        await asyncio.sleep(waited)
        for parts in messages.parts:
            await self._wire.send(parts)
        times = DeliveryTimes(began, built, waited, perf_counter())
        pace.sent(len(made.frames) / living.setting.fps, made.seconds, monotonic())
        self._hub.metrics.sent.inc(messages.payload_bytes)
        for number in heard:
            if number in self._said:
                self._hub.metrics.latency.observe(monotonic() - self._said.pop(number))
        await self._wire.tell(chunk_stats(request_id, made, messages, times))

    async def _tell_position(self, position: int) -> None:
        await self._wire.tell({"type": "queue", "position": position})

    async def _tell_session(self, living: PlaySession, state: str) -> None:
        setting = living.setting
        await self._wire.tell(
            {
                "type": "session",
                "state": state,
                "paused": living.paused,
                "resume": living.key,
                "grace": self._hub.rooms.grace,
                "chunk_index": living.index,
                "controls": living.directed,
                "width": setting.width,
                "height": setting.height,
                "fps": setting.fps,
                "seed": setting.seed,
                "prompt": setting.prompt,
            }
        )


def _left(task: "asyncio.Task[None]") -> bool:
    """Whether a task ended because its client should go."""
    return not task.cancelled() and isinstance(task.exception(), CloseConnection)
