"""End of a server: waiting clients leave, players may return, and a failure is not waited out."""

import os
import signal
from types import SimpleNamespace

import pytest

from lingbot_cli.errors import SetupError
from lingbot_cli.server import serve
from lingbot_cli.server.auth import AccessRules, ResumeKeys
from lingbot_cli.server.http_server import ListenAddress
from lingbot_cli.server.session_pool import PoolLimits
from tests.support.realtime_client import init
from tests.support.serving import TOKEN, serving


def test_a_server_without_a_name_sends_waiting_clients_away_and_takes_its_players_back():
    with serving(PoolLimits(slots=1, grace_s=60)) as served:
        with served.client() as player, served.client() as waiting:
            player.send(**init())
            key = player.until("session")["resume"]
            player.chunk()
            waiting.send(**init())
            waiting.until("queue", position=1)
            served.pool.drain()
            assert waiting.close_code() == 1013
            assert waiting.socket.close_reason == "this server is ending"
            player.chunk()
            player.socket.socket.close()
        with served.client() as again:
            again.send(**init(resume=key))
            assert again.until("session")["state"] == "resumed"
            again.chunk()
        with served.client() as new:
            new.send(**init())
            assert new.close_code() == 1013


def test_a_model_that_fails_ends_the_drain():
    pools = []

    def check():
        if pools and pools[0].draining:
            raise SetupError("a process of the model has ended")

    def announce(_url, pool):
        pools.append(pool)
        pool._playing = 1
        os.kill(os.getpid(), signal.SIGTERM)

    defaults = SimpleNamespace(image=None)
    service = SimpleNamespace(defaults=defaults, resume_keys=ResumeKeys(), memory=None, check=check)
    limits, rules = PoolLimits(drain_s=5), AccessRules(TOKEN)
    with pytest.raises(SetupError, match="has ended"):
        serve.run_server(
            lambda: service, ListenAddress(), rules, limits, announce=announce, max_message_bytes=1000
        )
