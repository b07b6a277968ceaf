"""Invalid engine addresses, and servers of another protocol."""

import socket
import threading

import pytest

from lingbot_cli.errors import StreamLostError, UsageError
from lingbot_cli.remote.client import EngineAddress


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1",
        "ws://",
        "ws://127.0.0.1:abc",
        "ws://127.0.0.1:99999",
        "ws://127.0.0.1:0",
        "ws://[bad",
        "ws://a..b",
        "ws://127.0.0.1:9/a world",
        "ws://127.0.0.1:9/w\N{LATIN SMALL LETTER O WITH DIAERESIS}",
    ],
)
def test_an_invalid_address_is_a_usage_error(text):
    with pytest.raises(UsageError, match="not an engine"):
        EngineAddress.parse(text, {})


@pytest.mark.parametrize(
    "text",
    [
        "ws://127.0.0.1:9?token=s%26k",
        "ws://x:s%26k@127.0.0.1:9",
        "ws://x:s%26k@127.0.0.1:9/v1/realtime_video/generate",
    ],
)
def test_a_token_in_the_address_is_taken_out_of_it(text):
    engine = EngineAddress.parse(text, {})
    assert (engine.address, engine.token) == ("ws://127.0.0.1:9", "s&k")
    assert "s&k" not in repr(engine)
    assert EngineAddress.parse(text, {"LINGBOT_TOKEN": "other"}).token == "other"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
    ],
    ids=["ssh", "cut short", "empty", "deep"],
)
def test_a_server_of_another_protocol_is_an_error(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once():
            asking, _ = server.accept()
            with asking:
                asking.recv(65536)
                asking.sendall(answer)

        threading.Thread(target=once, daemon=True).start()
        engine = EngineAddress.parse(f"ws://127.0.0.1:{server.getsockname()[1]}", {})
        with pytest.raises(StreamLostError, match="does not speak"):
            engine.fetch_info()
