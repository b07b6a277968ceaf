"""A served tiny world: the real server on a real socket of the loopback interface."""

from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lingbot_cli.server.app import server_app
from lingbot_cli.server.auth import Rules
from lingbot_cli.server.http_server import Address, HttpServer
from lingbot_cli.server.protocol import Limits
from lingbot_cli.server.service import Offer, Service
from lingbot_cli.server.session_pool import Rooms
from tests.support.realtime_client import client
from tests.support.reference import sample_image, tiny_world

TOKEN = "a-token-of-tests"


@dataclass(frozen=True)
class Served:
    """Where it is served and with which token."""

    port: int
    token: str = TOKEN

    def client(self, **options):
        return client(self.port, self.token, **options)


@contextmanager
def serving(rooms=None, limits=None, offer=None, world=None, rules=None):
    limits = limits or Limits()
    offer = offer or Offer(sample_image(), "a courtyard", height=32, width=32)
    service = Service(world or tiny_world(), limits, offer)
    bound = Address().bind()
    server = HttpServer(
        server_app(service, rules or Rules(TOKEN), rooms or Rooms()),
        bound,
        message_bytes=limits.message_bytes,
    )
    server.start()
    try:
        yield Served(bound.getsockname()[1])
    finally:
        server.stop()
        bound.close()


@pytest.fixture(scope="session")
def served():
    """One server for all tests that need no terms of their own; two may play at once."""
    with serving(Rooms(places=2, grace=20)) as found:
        yield found
