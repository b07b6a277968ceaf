"""The real server with the tiny model on the loopback interface."""

from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lingbot_cli.server.asgi_app import server_app
from lingbot_cli.server.auth import AccessRules
from lingbot_cli.server.http_server import HttpServer, ListenAddress
from lingbot_cli.server.protocol import ClientLimits
from lingbot_cli.server.service import ModelService, SessionDefaults
from lingbot_cli.server.session_pool import PoolLimits, SessionPool
from tests.support.realtime_client import client
from tests.support.reference import sample_image, tiny_world

TOKEN = "a-token-of-tests"


@dataclass(frozen=True)
class Served:
    """Port and token of a server, and its pool if it runs in this process."""

    port: int
    token: str = TOKEN
    pool: SessionPool | None = None

    def client(self, **options):
        return client(self.port, self.token, **options)


@contextmanager
def serving(pool_limits=None, limits=None, offer=None, world=None, rules=None, protocol=None, memory=None):
    limits = limits or ClientLimits()
    offer = offer or SessionDefaults(sample_image(), "a courtyard", height=32, width=32)
    service = ModelService(world or tiny_world(), limits, offer, memory=memory)
    bound = ListenAddress().bind()
    pool = SessionPool(pool_limits or PoolLimits(), memory)
    server = HttpServer(
        server_app(service, rules or AccessRules(TOKEN), pool),
        bound,
        max_message_bytes=limits.max_message_bytes,
        protocol=protocol,
    )
    server.start()
    try:
        yield Served(bound.getsockname()[1], pool=pool)
    finally:
        server.stop()
        bound.close()


@pytest.fixture(scope="session")
def served():
    """Serve two sessions at once, for all tests without settings of their own."""
    with serving(PoolLimits(slots=2, grace_s=20)) as found:
        yield found
