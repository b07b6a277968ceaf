"""Connection of one client, from its init message to the close: receives events, sends chunks."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import monotonic, perf_counter
from typing import Any

from starlette.websockets import WebSocket

from lingbot_cli.broadcast.just_in_time import ChunkPacer
from lingbot_cli.errors import InsufficientMemoryError, LingbotError
from lingbot_cli.redact import redact
from lingbot_cli.server.client_events import (
    ClientEvent,
    OutputChange,
    Reset,
    SessionCommand,
    parse_client_event,
)
from lingbot_cli.server.client_messages import Init, parse_init
from lingbot_cli.server.client_websocket import DISCONNECTED, ClientWebSocket, CloseConnection
from lingbot_cli.server.frames import (
    FrameFormat,
    SendTimes,
    chunk_log_line,
    chunk_stats,
    chunk_stats_extension,
    frame_messages,
)
from lingbot_cli.server.input_to_control import TimelineController
from lingbot_cli.server.play_session import ChunkOutput, PlaySession
from lingbot_cli.server.protocol import ProtocolError, RateLimiter
from lingbot_cli.server.record import recorded_timeline
from lingbot_cli.server.service import ModelService
from lingbot_cli.server.session_pool import QueueFull, SessionPool

log = logging.getLogger("lingbot.server")
chunk_log = logging.getLogger("lingbot.server.chunks")

MAX_TIMED_EVENTS = 1000  # events waiting for their latency to be measured


class Connection:
    """Two tasks: one receives events, one renders and sends chunks. The first to end cancels the other."""

    def __init__(self, socket: WebSocket, pool: SessionPool, service: ModelService) -> None:
        self._socket = ClientWebSocket(socket, service.limits, pool.metrics)
        self._pool = pool
        self._service = service
        self._session: PlaySession | None = None  # once it has a slot
        self._frame_format = FrameFormat()
        self._paced = False
        self._closing = False
        self._event_received = asyncio.Event()
        self._rate_limiter = RateLimiter(service.limits.max_events_per_s)
        self._timeline_limiter = RateLimiter(1)
        self._received_at: dict[int, float] = {}

    async def run(self) -> None:
        """Serve the client until the connection closes; then its slot is free and both tasks have ended."""
        self._pool.metrics.connections.inc()
        try:
            init, session = await self._receive_init()
            await self._run_tasks(init, session)
        except CloseConnection as close:
            await self._socket.close(close.code, close.reason)
        except DISCONNECTED:
            log.info("a client disconnected")
        except InsufficientMemoryError as error:
            await self._socket.fail(ProtocolError("out_of_memory", f"{error}; {error.hint}", retry=False))
        except LingbotError as error:
            await self._socket.fail(ProtocolError("failed", str(error), retry=False))
        except Exception as error:
            log.error("a session failed: %s", redact(f"{type(error).__name__}: {error}"))
            await self._socket.fail(ProtocolError("internal", "the server failed", retry=False))
        finally:
            self._pool.metrics.connections.dec()

    async def _receive_init(self) -> tuple[Init, PlaySession | None]:
        """Return the first valid init and its new session; None for a session to resume."""
        while True:
            try:
                message = await self._socket.receive(self._service.limits.init_timeout_s)
            except TimeoutError:
                raise CloseConnection(1008, "no init message received") from None
            try:
                init = parse_init(message, self._service.limits, len(self._service.model.preset.steps))
                session = None if init.resume else await asyncio.to_thread(self._service.new_session, init)
            except ProtocolError as error:
                await self._socket.reject(error)
                continue
            self._socket.extended |= init.extended
            self._paced = bool(init.realtime_output_pacing)
            self._frame_format = FrameFormat(
                init.realtime_output_format or "raw",
                init.realtime_preview_max_width or 0,
                init.output_compression,
            )
            return init, session

    async def _run_tasks(self, init: Init, session: PlaySession | None) -> None:
        tasks = [asyncio.create_task(self._play(init, session)), asyncio.create_task(self._receive_events())]
        try:
            lifetime = self._pool.limits.lifetime_s
            done, _ = await asyncio.wait(tasks, timeout=lifetime, return_when=asyncio.FIRST_COMPLETED)
            self._closing = not done or any(_closes(task) for task in done)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        ending = _ending([task for task in tasks if task in done])
        try:
            raise ending
        finally:  # else its traceback would hold these, they it, and all of them the session's memory
            del ending, tasks, done, task

    async def _receive_events(self) -> None:
        while True:
            try:
                message = await self._socket.receive(self._pool.limits.idle_timeout_s)
            except TimeoutError:
                raise CloseConnection(1000, "closed after too long without a message") from None
            try:
                if not self._rate_limiter.allow(monotonic()):
                    rate = self._service.limits.max_events_per_s
                    raise ProtocolError("too_fast", f"at most {rate} events a second")
                event = parse_client_event(message, self._service.limits)
                self._apply(event)
                await self._acknowledge(event)
            except ProtocolError as error:
                await self._socket.reject(error)

    def _apply(self, event: ClientEvent) -> None:
        if event.payload == SessionCommand("stop"):
            raise CloseConnection(1000, "stopped")
        if self._session is None:
            if event.payload == SessionCommand("heartbeat"):
                return
            raise ProtocolError("not_yet", "the session has not started; wait for its turn")
        if isinstance(event.payload, OutputChange):
            self._frame_format = self._frame_format.changed(event.payload)
        self._session.apply(event)
        if event.id is not None and len(self._received_at) < MAX_TIMED_EVENTS:
            self._received_at[event.id] = monotonic()
        self._event_received.set()

    async def _acknowledge(self, event: ClientEvent) -> None:
        """Answer a reset, a pause, a resume and a request for the timeline at once, not with a chunk."""
        if self._session is None:
            return
        if isinstance(event.payload, Reset):
            await self._send_session(self._session, "reset")
        elif event.payload == SessionCommand("timeline"):
            await self._send_timeline(self._session)
        elif event.payload in (SessionCommand("pause"), SessionCommand("resume")):
            await self._send_session(self._session, "paused" if self._session.paused else "playing")

    async def _play(self, init: Init, session: PlaySession | None) -> None:
        """Wait for a slot, then play a new session or resume a detached one."""
        resuming = session is None
        if session is None:
            session = await self._resume(init)
        try:
            async with self._waiting(session, resuming):
                self._pool.metrics.started.inc()
                self._session = session
                try:
                    with self._pool.playing(session):
                        await self._send_session(session, "resumed" if resuming else "started")
                        await self._send_chunks(session)
                except (asyncio.CancelledError, *DISCONNECTED):
                    if not self._closing:
                        self._pool.detach(session)
                    raise
                if session.settings.exact:
                    self._pool.detach(session)  # its last chunk may be lost on the way
                raise CloseConnection(1000, "all chunks are rendered")
        except QueueFull:
            full = f"the queue is full; {self._pool.capacity}"
            raise CloseConnection(1013, "this server is ending" if self._pool.draining else full) from None

    async def _resume(self, init: Init) -> PlaySession:
        """Take over a session before waiting for a slot, so that its grace time cannot end while it waits.

        Errors: CloseConnection at once for an unknown key or chunks that are no longer held.
        """
        key = init.resume or ""
        server = self._service.resume_keys.server_of(key)
        if server is not None and server != self._service.resume_keys.server:
            raise CloseConnection(4421, f"that session is on the server {server}")
        await self._pool.disconnect_player(key)
        session = self._pool.attach(key)
        if session is None:
            raise CloseConnection(4404, "that session has ended")
        if init.have is not None and not session.rewind(init.have):
            self._pool.abandon(session)
            raise CloseConnection(4404, "that session has ended")
        return session

    @asynccontextmanager
    async def _waiting(self, session: PlaySession, resuming: bool) -> AsyncIterator[None]:
        """Hold a slot; a resumed session whose client leaves while it waits is detached again."""
        entered = False
        try:
            async with self._pool.slot(self._send_position, reconnecting=resuming):
                entered = True
                yield
        finally:
            if resuming and not entered:
                self._pool.detach(session)

    async def _send_chunks(self, session: PlaySession) -> None:
        pacer = ChunkPacer()
        while True:
            if session.unsent:
                chunk = session.unsent[0]
                await self._send_chunk(session, chunk, pacer)
                session.mark_sent(chunk)
                self._service.on_chunk(session)
            elif session.finished:
                await self._send_session(session, "ended")
                return
            elif not session.ready:
                self._event_received.clear()
                if encoding := session.encoding:
                    encoding.add_done_callback(partial(self._wake, asyncio.get_running_loop()))
                if not session.ready:  # the prompt may have been encoded since
                    await self._event_received.wait()
            else:
                if self._paced:
                    await asyncio.sleep(pacer.render_delay(monotonic()))
                if session.ready:
                    await self._pool.render(session)
                if error := session.pending_prompt.take_error():
                    log.error("a prompt could not be encoded: %s", redact(f"{type(error).__name__}: {error}"))
                    reason = str(error) if isinstance(error, LingbotError) else "the server failed"
                    await self._socket.report(
                        ProtocolError("prompt_failed", f"the prompt cannot be encoded: {reason}")
                    )

    def _wake(self, loop: asyncio.AbstractEventLoop, _encoding: "Future[None]") -> None:
        with suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(self._event_received.set)

    async def _send_chunk(self, session: PlaySession, chunk: ChunkOutput, pacer: ChunkPacer) -> None:
        start = perf_counter()
        event_ids = chunk.input.event_ids
        request_id = f"{session.id}-{chunk.index}"
        messages = await asyncio.to_thread(
            frame_messages,
            chunk.frames,
            self._frame_format,
            request_id=request_id,
            chunk_index=chunk.index,
            event_id=chunk.input.event_id,
        )
        pack_s = perf_counter() - start
        pace_s = pacer.send_delay(monotonic()) if self._paced else 0.0
        await asyncio.sleep(pace_s)
        sent = [await self._socket.send_group(group) for group in messages.groups]
        times = SendTimes(
            pack_s, pace_s, sum(sum(each[:-1]) for each in sent), sum(each[-1] for each in sent)
        )
        pacer.chunk_sent(len(chunk.frames) / session.settings.fps, chunk.render_s, monotonic())
        self._pool.metrics.sent.inc(messages.payload_bytes)
        for event_id in event_ids:
            if event_id in self._received_at:
                self._pool.metrics.latency.observe(monotonic() - self._received_at.pop(event_id))
        stats = chunk_stats(session.id, request_id, chunk, messages, times)
        chunk_log.info("%s", chunk_log_line(stats))
        await self._socket.send(stats | chunk_stats_extension(chunk) if self._socket.extended else stats)

    async def _send_position(self, position: int) -> None:
        message = {"type": "queue", "position": position, "reason": str(self._pool.capacity)}
        await self._send_addition(message)

    async def _send_session(self, session: PlaySession, state: str) -> None:
        settings = session.settings
        await self._send_addition(
            {
                "type": "session",
                "state": state,
                "paused": session.paused,
                "resume": session.resume_key,
                "grace": self._pool.limits.grace_s,
                "chunk_index": session.chunk_index,
                "controls": session.control_count,
                "width": settings.width,
                "height": settings.height,
                "fps": settings.fps,
                "seed": settings.seed,
                "prompt": settings.prompt,
            }
        )

    async def _send_timeline(self, session: PlaySession) -> None:
        """Send the session so far as a timeline file. Errors: ProtocolError for a camera moved by published steps."""
        if not isinstance(session.controller, TimelineController):
            raise ProtocolError("unsupported", "only a session with `camera` settings has a timeline")
        if not session.sent_frames:
            raise ProtocolError("not_yet", "nothing was rendered yet")
        if not self._timeline_limiter.allow(monotonic()):
            raise ProtocolError("too_fast", "at most one timeline a second")
        # Of hours of play it takes long enough to hold up other clients.
        text = await asyncio.to_thread(recorded_timeline, session.controller, session.sent_frames)
        await self._send_addition({"type": "timeline", "content": text})

    async def _send_addition(self, message: dict[str, Any]) -> None:
        """Send a message of a type that the published protocol does not have, if the client asked for it."""
        if self._socket.extended:
            await self._socket.send(message)


def _closes(task: "asyncio.Task[None]") -> bool:
    """True for a task that ended to close the connection."""
    return not task.cancelled() and isinstance(task.exception(), CloseConnection)


def _ending(done: "list[asyncio.Task[None]]") -> BaseException:
    """Return the exception that ends a connection, by the tasks that have ended by themselves."""
    for task in done:
        if task.cancelled():
            return CloseConnection(4409, "this session was resumed on another connection")
        if error := task.exception():
            return error
    return CloseConnection(1000, "the session has reached its time limit")
