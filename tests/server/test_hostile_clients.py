"""Hostile clients get errors and are closed; no file or address is opened for them."""

import builtins
import random
import socket

import pytest

from lingbot_cli.server.client_messages import Init, parse_init
from lingbot_cli.server.protocol import ClientLimits, ProtocolError, unpack
from tests.support.fuzz_messages import attack, check, hostile
from tests.support.realtime_client import init, png
from tests.support.serving import serving


def test_a_fuzzed_server_reveals_nothing_and_serves_the_next_client(caplog):
    chance = random.Random(11)
    with serving() as served:
        for _ in range(12):
            with served.client() as client:
                check(attack(client, chance, 25))
        with served.client() as client:
            client.send(**init(max_chunks=1))
            assert len(client.chunk()[0]) == 9
    assert "a session failed" not in caplog.text


def test_parsing_raises_protocol_errors_only_and_opens_nothing(monkeypatch):
    touched = []
    monkeypatch.setattr(builtins, "open", lambda *given, **_: touched.append(given))
    monkeypatch.setattr(socket, "create_connection", lambda *given, **_: touched.append(given))
    from lingbot_cli.server.client_events import parse_client_event

    chance = random.Random(3)
    refused = 0
    for _ in range(4000):
        try:
            message = unpack(hostile(chance))
            (parse_client_event if message.get("type") == "event" else init_of)(message, ClientLimits())
        except ProtocolError:
            refused += 1
    assert refused > 1000
    assert not touched


def init_of(message, limits) -> Init:
    return parse_init(message, limits, 4)


@pytest.mark.parametrize("wrong", [b"", png()[:60], b"GIF89a" + bytes(50), b"<svg/>", png(2, 2) * 2])
def test_first_frames_are_read_as_images_only(served, wrong):
    with served.client() as client:
        client.send(**init(first_frame=wrong, max_chunks=1))
        answer = client.receive()
        assert answer["type"] in ("error", "session"), answer
        if answer["type"] == "error":
            assert answer["code"] == "bad_first_frame"


def test_an_image_of_too_many_pixels_is_not_decoded():
    with serving(limits=ClientLimits(max_image_pixels=1000)) as served, served.client() as client:
        client.send(**init())
        assert "too many" in client.receive()["content"]
