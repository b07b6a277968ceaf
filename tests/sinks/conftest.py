"""Fixtures of the sinks' tests."""

import pytest

from tests.support.rtmp_server import RtmpServer


@pytest.fixture
def server(tmp_path):
    server = RtmpServer(tmp_path / "server")
    yield server
    server.stop()
