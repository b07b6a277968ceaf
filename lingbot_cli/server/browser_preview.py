"""Browser preview: a sink that shows frames on a local web page while a video is rendered."""

import asyncio
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from lingbot_cli.server.asgi_app import page_response
from lingbot_cli.server.auth import AccessMiddleware, AccessRules, accepted_subprotocol, new_token
from lingbot_cli.server.client_websocket import DISCONNECTED
from lingbot_cli.server.frames import FrameFormat, frame_messages
from lingbot_cli.server.http_server import HttpServer, ListenAddress, page_url
from lingbot_cli.sinks.base import Sink, VideoInfo

PREVIEW_PATH = "/watch"
FRAME_FORMAT = FrameFormat("jpeg", 1280, 85)
MAX_QUEUED_CHUNKS = 2  # a slower page misses chunks
SEND_TIMEOUT_S = 20.0
MAX_MESSAGE_BYTES = 64 * 1024  # a page sends nothing


class BrowserPreview(Sink):
    """Sink that never delays the render; `announce` is called with a line that holds the page's URL."""

    name = ""  # it writes no file

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._clients: PreviewClients | None = None
        self._server: HttpServer | None = None

    def open(self, video: VideoInfo) -> None:
        rules = AccessRules(new_token())
        bound = ListenAddress().bind()
        self._clients = PreviewClients(video.fps)
        self._server = HttpServer(
            preview_app(self._clients, rules), bound, max_message_bytes=MAX_MESSAGE_BYTES
        )
        self._server.start()
        self._announce(f"watch it at {page_url(bound, rules.token)}")

    def write(self, frames: np.ndarray) -> None:
        if self._clients is None:
            raise RuntimeError("the sink is not open")
        self._clients.publish(frames)

    def close(self) -> None:
        if self._server is not None:
            self._server.stop()


class PreviewClients:
    """Pages that show the preview. `publish` may be called from any thread and does not wait for them."""

    def __init__(self, fps: Fraction) -> None:
        self._fps = float(fps)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queues: list[tuple[deque[np.ndarray], asyncio.Event]] = []

    def publish(self, frames: np.ndarray) -> None:
        """Send frames [T, H, W, 3] uint8 to every page."""
        if self._loop is not None and self._queues and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._enqueue, frames.copy())

    def _enqueue(self, frames: np.ndarray) -> None:
        for queue, added in self._queues:
            queue.append(frames)
            added.set()

    async def serve(self, socket: WebSocket) -> None:
        """Send frames to one page until it disconnects."""
        self._loop = asyncio.get_running_loop()
        await socket.accept(accepted_subprotocol(socket.scope.get("subprotocols", ())))
        queue: deque[np.ndarray] = deque(maxlen=MAX_QUEUED_CHUNKS)
        entry = queue, asyncio.Event()
        self._queues.append(entry)
        sending = asyncio.create_task(self._send(socket, *entry))
        try:
            while (await socket.receive())["type"] != "websocket.disconnect":
                continue  # messages of a page are ignored
        finally:
            self._queues.remove(entry)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, socket: WebSocket, queue: deque[np.ndarray], added: asyncio.Event) -> None:
        index = 0
        while True:
            while not queue:
                added.clear()
                await added.wait()
            frames = queue.popleft()
            messages = await asyncio.to_thread(
                frame_messages,
                frames,
                FRAME_FORMAT,
                request_id="watch",
                chunk_index=index,
                event_id=None,
                fps=self._fps,
            )
            index += 1
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    for group in messages.groups:
                        for message in group:
                            await socket.send_bytes(message)
            except DISCONNECTED:
                return


def preview_app(clients: PreviewClients, rules: AccessRules) -> Starlette:
    """Create the ASGI application of the page in its watching mode."""

    async def page(_request: Request) -> Response:
        return page_response({"mode": "watch", "route": PREVIEW_PATH})

    routes = [Route("/", page), WebSocketRoute(PREVIEW_PATH, clients.serve)]
    return Starlette(routes=routes, middleware=[Middleware(AccessMiddleware, rules=rules)])
