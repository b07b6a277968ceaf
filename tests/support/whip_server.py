"""WHIP server on aiortc, a WebRTC stack of its own: answers an offer, decodes what arrives, deletes at the end."""

import asyncio
import contextlib
import threading

import aioice.ice
import uvicorn
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


class WhipServer:
    """A running server on the loopback interface; `answers` go to the next offers instead of a session."""

    def __init__(self, token: str = "") -> None:
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]  # noqa: ARG005
        self.token = token
        self.answers: list[Response] = []
        self.posts: list[dict[str, str]] = []
        self.offers: list[str] = []
        self.deleted: list[dict[str, str]] = []
        self.frames: dict[str, list] = {"video": [], "audio": []}
        self.peers: list[RTCPeerConnection] = []
        self._tasks: set[asyncio.Task] = set()
        routes = [
            Route("/{path:path}", self._post, methods=["POST"]),
            Route("/{path:path}", self._delete, methods=["DELETE"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=0, log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        assert self._ready.wait(20)

    def _run(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            task = asyncio.create_task(self._server.serve())
            while not self._server.started:
                await asyncio.sleep(0.01)
            self.port = self._server.servers[0].sockets[0].getsockname()[1]
            self._ready.set()
            await task

        asyncio.run(serve())

    def url(self, path: str = "whip/room", scheme: str = "whip+http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/{path}"

    async def _post(self, request: Request) -> Response:
        self.posts.append(dict(request.headers) | {"url": str(request.url)})
        if self.answers:
            return self.answers.pop(0)
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return PlainTextResponse(f"bad token {self.token}", 401)
        self.offers.append((await request.body()).decode())
        peer = RTCPeerConnection()
        self.peers.append(peer)

        @peer.on("track")
        def receive(track) -> None:
            task = asyncio.create_task(self._receive(track))
            self._tasks.add(task)

        await peer.setRemoteDescription(RTCSessionDescription(self.offers[-1], "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        headers = {"location": f"/session/{len(self.offers)}"}
        return Response(peer.localDescription.sdp, 201, headers, media_type="application/sdp")

    async def _receive(self, track) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                self.frames[track.kind].append(frame)

    async def _delete(self, request: Request) -> Response:
        self.deleted.append(dict(request.headers) | {"url": str(request.url)})
        await self._close_peers()
        return Response()

    async def _close_peers(self) -> None:
        peers, self.peers = self.peers, []
        for peer in peers:
            await peer.close()

    def hang_up(self) -> None:
        """Close every session, as a server that restarts does."""
        asyncio.run_coroutine_threadsafe(self._close_peers(), self._loop).result(20)

    def stop(self) -> None:
        self.hang_up()
        self._server.should_exit = True
        self._thread.join(20)
