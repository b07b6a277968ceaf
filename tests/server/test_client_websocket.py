"""Sending to a client that has disconnected."""

import asyncio
import queue
import socket

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from lingbot_cli.server.client_websocket import DISCONNECTED, ClientWebSocket
from lingbot_cli.server.http_server import HttpServer, ListenAddress
from lingbot_cli.server.metrics import Metrics
from lingbot_cli.server.protocol import ClientLimits
from tests.support.realtime_client import ROUTE, client


@pytest.fixture
def sends_twice():
    """A server that talks to each client until it cannot, twice, and in what both have ended."""
    ends = queue.Queue()

    async def talk(found):
        await found.accept()
        wire = ClientWebSocket(found, ClientLimits(), Metrics())
        for _ in range(2):
            try:
                for _ in range(1000):
                    await wire.send({"type": "words", "payload": bytes(100_000)})
                    await asyncio.sleep(0.005)  # lets the event loop see the disconnect
            except Exception as end:
                ends.put(end)

    bound = ListenAddress().bind()
    server = HttpServer(Starlette(routes=[WebSocketRoute(ROUTE, talk)]), bound, max_message_bytes=1000)
    server.start()
    yield bound.getsockname()[1], ends
    server.stop()
    bound.close()


def test_every_send_to_a_disconnected_client_fails_alike(sends_twice):
    port, ends = sends_twice
    with client(port, "") as listener:
        assert listener.receive()["type"] == "words"
        listener.socket.socket.shutdown(socket.SHUT_RDWR)  # no goodbye
        for _ in range(2):
            end = ends.get(timeout=60)
            assert isinstance(end, DISCONNECTED), repr(end)
