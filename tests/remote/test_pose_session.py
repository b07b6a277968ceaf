"""Reconnecting to a lost engine."""

import socket
from contextlib import suppress

import numpy as np
import pytest

from lingbot_cli.remote.client import EngineAddress
from lingbot_cli.remote.messages import RemoteScene
from lingbot_cli.remote.pose_session import PoseSession
from lingbot_cli.render.pipeline import StopRequested
from tests.support.reference import sample_image, walk
from tests.support.relay import Relay
from tests.support.serving import TOKEN, serving


class Unplugged(Relay):
    """Lets all pass until it is unplugged, for good."""

    plugged = True

    def lets(self, _count, _from_server):
        return self.plugged

    def unplug(self):
        self.plugged = False
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def test_reconnecting_can_be_stopped():
    warnings = []

    def idle():
        if warnings:
            raise StopRequested

    with serving() as served, Unplugged(served.port) as relay:
        scene = RemoteScene(sample_image(), 32, 32, 16, 7, 0.05)
        engine = EngineAddress(f"ws://127.0.0.1:{relay.port}", TOKEN)
        session = PoseSession(engine, scene, idle=idle, warn=warnings.append)
        first, second = walk(2)
        session.denoise(first)
        assert len(session.decode(np.zeros(0))) == 9
        relay.unplug()
        session.denoise(second)
        with pytest.raises(StopRequested):
            session.decode(np.zeros(0))
    assert warnings == ["lost the engine; reconnecting to its session"]
