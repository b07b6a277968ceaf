"""One client, from its init to its end: it says things, waits for its place, and gets its chunks."""

import asyncio
import logging
from time import monotonic, perf_counter

from starlette.websockets import WebSocket

from lingbot_cli.errors import LingbotError
from lingbot_cli.redact import redact
from lingbot_cli.server.client_events import Event, Output, Reset, Signal, read_event
from lingbot_cli.server.frames import Form, batches
from lingbot_cli.server.hear import hear
from lingbot_cli.server.messages import Init, read_init
from lingbot_cli.server.pacing import Pace
from lingbot_cli.server.play_session import Living, Made
from lingbot_cli.server.protocol import Allowance, Refusal
from lingbot_cli.server.service import Service
from lingbot_cli.server.session_pool import Full, Hub
from lingbot_cli.server.stats import Times, chunk_stats
from lingbot_cli.server.websocket import GONE, Leave, Wire

log = logging.getLogger("lingbot.live")

_REMEMBERED = 1000  # events whose latency is measured


class Connection:
    """Two tasks: one hears, one makes and sends. Whichever ends first ends the other."""

    def __init__(self, socket: WebSocket, hub: Hub, service: Service) -> None:
        self._wire = Wire(socket, service.limits, hub.metrics)
        self._hub = hub
        self._service = service
        self._living: Living | None = None
        self._form = Form()
        self._paced = False
        self._over = False
        self._stirred = asyncio.Event()
        self._allowance = Allowance(service.limits.events_a_second)
        self._said: dict[int, float] = {}

    async def run(self) -> None:
        """Serve the client until it leaves or must; afterwards its place is free and its tasks are done."""
        self._hub.metrics.connections.inc()
        try:
            init, living = await self._begin()
            await self._serve(init, living)
        except Leave as leave:
            await self._wire.close(leave.code, leave.reason)
        except GONE:
            log.info("a client is gone")
        except LingbotError as wrong:
            await self._wire.fail(Refusal("failed", str(wrong), retry=False))
        except Exception as bug:
            log.error("a session failed: %s", redact(f"{type(bug).__name__}: {bug}"))
            short = type(bug).__name__ == "OutOfMemoryError"  # torch's, and torch is not imported here
            said = ("out_of_memory", "not enough memory") if short else ("internal", "the server failed")
            await self._wire.fail(Refusal(*said, retry=False))
        finally:
            self._hub.metrics.connections.dec()

    async def _begin(self) -> tuple[Init, Living | None]:
        """The first good init and its world; None stands for a world that is to be claimed."""
        while True:
            try:
                message = await self._wire.receive(self._service.limits.first_message)
            except TimeoutError:
                raise Leave(1008, "no init came") from None
            try:
                init = read_init(message, self._service.limits, len(self._service.world.preset.steps))
                living = None if init.resume else await asyncio.to_thread(self._service.living, init)
            except Refusal as refusal:
                await self._wire.refuse(refusal)
                continue
            self._paced = bool(init.realtime_output_pacing)
            self._form = Form(
                init.realtime_output_format or "raw",
                init.realtime_preview_max_width or 0,
                init.output_compression,
            )
            return init, living

    async def _serve(self, init: Init, living: Living | None) -> None:
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
                    raise Leave(4409, "this world is played on another connection")
                task.result()
        raise Leave(1000, "the session's time is over")

    async def _listen(self) -> None:
        while True:
            try:
                message = await self._wire.receive(self._hub.rooms.idle)
            except TimeoutError:
                raise Leave(1000, "nothing was said for too long") from None
            try:
                if not self._allowance.take(monotonic()):
                    raise Refusal(
                        "too_fast", f"at most {self._service.limits.events_a_second} events a second"
                    )
                event = read_event(message, self._service.limits)
                self._take(event)
                await self._answer(event)
            except Refusal as refusal:
                await self._wire.refuse(refusal)

    def _take(self, event: Event) -> None:
        if event.said == Signal("stop"):
            raise Leave(1000, "stopped")
        if self._living is None:
            if event.said == Signal("heartbeat"):
                return
            raise Refusal("not_yet", "the world has not begun: wait for its turn")
        if isinstance(event.said, Output):
            self._form = self._form.changed(event.said)
        hear(self._living, event, self._service.limits)
        if event.id is not None and len(self._said) < _REMEMBERED:
            self._said[event.id] = monotonic()
        self._stirred.set()

    async def _answer(self, event: Event) -> None:
        """What changes the session as a whole is told at once, not with a chunk."""
        if self._living is None:
            return
        if isinstance(event.said, Reset):
            await self._tell_session(self._living, "reset")
        elif event.said in (Signal("pause"), Signal("resume")):
            await self._tell_session(self._living, "paused" if self._living.paused else "playing")

    async def _play(self, init: Init, living: Living | None) -> None:
        back = living is None
        if init.resume is not None:
            await self._hub.take_over(init.resume)
        try:
            async with self._hub.place(self._tell_position, back=back):
                if living is None:
                    living = self._hub.claim(init.resume or "")
                if living is None or (back and init.have is not None and not living.rewind(init.have)):
                    raise Leave(4404, "that world is gone")
                self._hub.metrics.begun.inc()
                self._living = living
                try:
                    with self._hub.player(living):
                        await self._tell_session(living, "resumed" if back else "started")
                        await self._produce(living)
                except (asyncio.CancelledError, *GONE):
                    if not self._over:
                        self._hub.keep(living)
                    raise
                if living.setting.exact:
                    self._hub.keep(living)  # should its last chunk be lost on the way
                raise Leave(1000, "all chunks are made")
        except Full:
            raise Leave(1013, "the queue is full") from None

    async def _produce(self, living: Living) -> None:
        pace = Pace()
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

    async def _deliver(self, living: Living, made: Made, pace: Pace) -> None:
        began = perf_counter()
        heard = made.told.event_ids
        request_id = f"{living.key[:8]}-{made.index}"
        messages = await asyncio.to_thread(
            batches,
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
        times = Times(began, built, waited, perf_counter())
        pace.sent(len(made.frames) / living.setting.fps, made.seconds, monotonic())
        self._hub.metrics.sent.inc(messages.payload_bytes)
        for number in heard:
            if number in self._said:
                self._hub.metrics.latency.observe(monotonic() - self._said.pop(number))
        await self._wire.tell(chunk_stats(request_id, made, messages, times))

    async def _tell_position(self, position: int) -> None:
        await self._wire.tell({"type": "queue", "position": position})

    async def _tell_session(self, living: Living, state: str) -> None:
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
    return not task.cancelled() and isinstance(task.exception(), Leave)
