"""Watching a film while it is made: frames to every page that looks, and to none when none does."""

import asyncio
from collections import deque
from fractions import Fraction

import numpy as np
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from lingbot_cli.server.app import page_response
from lingbot_cli.server.auth import AccessMiddleware, Rules, accepted_subprotocol
from lingbot_cli.server.frames import FrameFormat, frame_messages
from lingbot_cli.server.websocket import DISCONNECTED

ROUTE = "/watch"
FRAME_FORMAT = FrameFormat("jpeg", 1280, 85)
MAX_QUEUED_CHUNKS = 2  # chunks a slow page may be behind before it misses some
SEND_TIMEOUT_S = 20.0  # seconds a page may take to accept a chunk


class PreviewClients:
    """The pages that look. `publish` may be called from any thread and never waits for them."""

    def __init__(self, fps: Fraction) -> None:
        self._fps = float(fps)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queues: list[tuple[deque[np.ndarray], asyncio.Event]] = []

    def publish(self, frames: np.ndarray) -> None:
        """Show frames [T, H, W, 3] uint8 to whoever looks."""
        if self._loop is not None and self._queues and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_out, frames.copy())

    def _hand_out(self, frames: np.ndarray) -> None:
        for queue, stirred in self._queues:
            queue.append(frames)
            stirred.set()

    async def serve(self, socket: WebSocket) -> None:
        """Send to one page until it leaves."""
        self._loop = asyncio.get_running_loop()
        await socket.accept(accepted_subprotocol(socket.scope.get("subprotocols", ())))
        mine: tuple[deque[np.ndarray], asyncio.Event] = deque(maxlen=MAX_QUEUED_CHUNKS), asyncio.Event()
        self._queues.append(mine)
        sending = asyncio.create_task(self._send(socket, *mine))
        try:
            while (await socket.receive())["type"] != "websocket.disconnect":
                continue  # a watcher has nothing to say
        finally:
            self._queues.remove(mine)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, socket: WebSocket, queue: deque[np.ndarray], stirred: asyncio.Event) -> None:
        number = 0
        while True:
            while not queue:
                stirred.clear()
                await stirred.wait()
            frames = queue.popleft()
            messages = await asyncio.to_thread(
                frame_messages,
                frames,
                FRAME_FORMAT,
                request_id="watch",
                chunk_index=number,
                event_id=None,
                fps=self._fps,
            )
            number += 1
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    for part in messages.parts:
                        await socket.send_bytes(part[0])
            except DISCONNECTED:
                return


def preview_app(watchers: PreviewClients, rules: Rules) -> Starlette:
    """An application with the page in its watching mode."""

    async def page(_request: Request) -> Response:
        return page_response({"mode": "watch", "route": ROUTE})

    routes = [Route("/", page), WebSocketRoute(ROUTE, watchers.serve)]
    return Starlette(routes=routes, middleware=[Middleware(AccessMiddleware, rules=rules)])
