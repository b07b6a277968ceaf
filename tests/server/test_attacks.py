"""Attacks on the server: strips of images, messages that unfold, idle sockets, made-up keys."""

import io
import resource
import socket
import sys
import time
import urllib.request
from contextlib import ExitStack, suppress

import msgpack
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidMessage

from lingbot_cli.server.http_server import ConnectionRegistry, limited_protocol, network_of
from lingbot_cli.server.protocol import ClientLimits, ProtocolError, unpack
from lingbot_cli.server.service import SessionDefaults
from lingbot_cli.server.session_pool import PoolLimits
from tests.support.processes import wait_until
from tests.support.realtime_client import init
from tests.support.reference import sample_image
from tests.support.serving import serving


def strip(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(1, 4_000_000), (4_000_000, 1), (100, 1), (90, 10)])
def test_an_image_of_any_shape_takes_no_more_than_a_session_may(shape):
    defaults = SessionDefaults(sample_image(), "a courtyard")
    with serving(offer=defaults, limits=ClientLimits(max_pixels=2048)) as served, served.client() as client:
        fields = init(first_frame=strip(*shape), max_chunks=1)
        del fields["size"]
        client.send(**fields)
        answer = client.receive()
        assert answer["code"] == "bad_init"
        assert "more than 8 times as long as wide" in answer["content"]
        client.send(**init(first_frame=strip(*shape), max_chunks=1))  # a size of its own crops it
        assert client.chunk()[0].shape[1:3] == (32, 32)


def test_the_size_that_an_image_implies_is_limited_too():
    defaults, limits = SessionDefaults(sample_image(), ""), ClientLimits(max_pixels=256)
    with serving(offer=defaults, limits=limits) as served, served.client() as client:
        fields = init()
        del fields["size"]
        client.send(**fields)
        assert client.receive()["code"] == "too_large"


def bomb(count):
    """Return a message of `count` empty maps, a byte each."""
    return msgpack.packb({"type": "event", "kind": "prompt", "payload": None})[:-1] + msgpack.packb(
        [{}] * count
    )


@pytest.mark.parametrize(
    "message",
    [
        bomb(300_000),
        msgpack.packb({"type": "init", "condition_inputs": {"camera_actions": [[]] * 300_000}}),
        msgpack.packb({"type": "event", "first_frame": b"x" * 300_000}),
        msgpack.packb({"x" * 300_000: 1, "type": "init"}),
        msgpack.packb([{}] * 300_000),
    ],
)
def test_large_messages_are_measured_before_they_are_decoded(message):
    with pytest.raises(ProtocolError) as refused:
        unpack(message)
    assert refused.value.code in ("too_large", "not_messagepack")


def test_an_init_may_hold_a_large_image():
    image = b"x" * 2_000_000
    assert unpack(msgpack.packb({"type": "init", "first_frame": image}))["first_frame"] == image


def test_a_bomb_is_refused_and_the_session_continues(served):
    with served.client() as client:
        client.send(**init())
        client.chunk()
        client.socket.send(bomb(2_000_000))
        assert client.until("error")["code"] == "too_large"
        client.chunk()


def test_a_made_up_key_is_refused_at_once_and_takes_no_place(served):
    with serving(PoolLimits(slots=1, queue_length=1)) as served, served.client() as player:
        player.send(**init())
        player.chunk()
        with served.client() as waiting:
            waiting.send(**init())
            assert waiting.until("queue")["position"] == 1
            with served.client() as intruder:
                intruder.send(**init(resume="made-up"))
                assert intruder.close_code() == 4404
        player.chunk()


def test_a_client_that_returns_in_time_keeps_its_session_while_others_wait():
    with serving(PoolLimits(slots=1, grace_s=1.0)) as served:
        with served.client() as first:
            first.send(**init())
            key = first.until("session")["resume"]
            first.chunk()
        with served.client() as second, served.client() as returning:
            second.send(**init())
            second.chunk()
            returning.send(**init(resume=key))
            returning.until("queue")
            time.sleep(2.0)  # longer than the grace time
            second.event("stop")
            assert returning.until("session")["state"] == "resumed"
            assert returning.chunk()[1]["chunk_index"] > 0


def test_one_that_leaves_the_queue_may_return_again():
    with serving(PoolLimits(slots=1, grace_s=30)) as served:
        with served.client() as first:
            first.send(**init())
            key = first.until("session")["resume"]
            first.chunk()
        with served.client() as second:
            second.send(**init())
            second.chunk()
            with served.client() as returning:
                returning.send(**init(resume=key))
                returning.until("queue")
            second.event("stop")
            with served.client() as returning:
                returning.send(**init(resume=key))
                assert returning.until("session")["state"] == "resumed"


def test_the_server_answers_while_idle_sockets_take_every_place():
    with serving(protocol=limited_protocol(max_connections=20)) as served:
        idle = [socket.create_connection(("127.0.0.1", served.port), 10) for _ in range(60)]
        try:
            for slow in idle[:5]:
                slow.sendall(b"GET / HT")
            with served.client() as client:
                client.send(**init(max_chunks=2))
                client.chunk()
                for _ in range(30):
                    with urllib.request.urlopen(
                        f"http://127.0.0.1:{served.port}/healthz", timeout=30
                    ) as answer:
                        assert answer.status == 200
                client.chunk()
            idle[0].settimeout(30)
            with suppress(ConnectionResetError):
                assert idle[0].recv(100) == b""  # the oldest had to go
        finally:
            for each in idle:
                each.close()


@pytest.fixture
def many_files():
    """Let this process open 4,096 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < 4096:
        pytest.skip("this machine allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
@pytest.mark.skipif(sys.platform != "linux", reason="uses other loopback addresses")
def test_a_thousand_idle_sockets_of_one_address_take_its_places_alone():
    protocol = limited_protocol(per_address=64)
    with serving(protocol=protocol) as served, ExitStack() as stack:
        for _ in range(1000):
            sock = socket.create_connection(("127.0.0.1", served.port), 10, source_address=("127.0.0.2", 0))
            stack.enter_context(sock)
        with served.client() as client:
            client.send(**init(max_chunks=1))
            client.chunk()
            assert len(protocol.registry) <= 65
            with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/healthz", timeout=30) as answer:
                assert answer.status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="uses other loopback addresses")
def test_an_address_with_all_its_connections_is_refused_and_others_play(caplog):
    with serving(protocol=limited_protocol(per_address=3)) as served, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(served.client(source_address=("127.0.0.2", 0)))
        with (
            pytest.raises((ConnectionClosed, InvalidMessage, OSError)),
            served.client(source_address=("127.0.0.2", 0)),
        ):
            pass
        assert "refused 127.0.0.2: it has 3 connections; see --per-address" in caplog.text
        with served.client(source_address=("127.0.0.3", 0)) as other:
            other.send(**init(max_chunks=1))
            other.chunk()


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_customer_counts_as_one_address(host, network):
    assert network_of(host) == network


def test_places_of_an_address_are_counted_until_its_connections_end():
    registry, first, second = ConnectionRegistry(10, 1), Transport("192.0.2.1"), Transport("192.0.2.1")
    assert registry.admit(first)
    assert registry.admit(second)  # the first has sent no request
    assert first.aborted
    registry.request_received(second)
    assert not registry.admit(first)
    assert registry.admit(Transport("192.0.2.2"))
    registry.remove(second)
    assert registry.admit(first)
    assert len(registry) == 2


class Transport:
    """A transport that has a peer and can be aborted."""

    def __init__(self, host):
        self.host, self.aborted = host, False

    def get_extra_info(self, _name):
        return self.host, 1

    def abort(self):
        self.aborted = True


def test_a_header_that_never_ends_is_dropped():
    with (
        serving(protocol=limited_protocol(header_timeout_s=0.5)) as served,
        socket.create_connection(("127.0.0.1", served.port), 10) as slow,
    ):
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        slow.settimeout(30)
        with suppress(ConnectionResetError):
            assert slow.recv(100) == b""


def test_every_connection_gives_its_place_back():
    protocol = limited_protocol(max_connections=4)
    with serving(protocol=protocol) as served:
        for _ in range(6):
            with served.client() as client:
                client.send(**init(max_chunks=1))
                client.chunk()
            with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/healthz", timeout=30) as answer:
                assert answer.status == 200
            with socket.create_connection(("127.0.0.1", served.port), 10):
                pass
        wait_until(lambda: len(protocol.registry) == 0)
