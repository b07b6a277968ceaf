"""Fuzzed messages of the realtime protocol, in both directions: refused in order, or applied."""

import builtins
import io
import json
import socket
from contextlib import suppress
from itertools import cycle

import msgpack
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from lingbot_cli.control import Control
from lingbot_cli.errors import LingbotError
from lingbot_cli.remote import client as remote_client
from lingbot_cli.remote import engine_websocket
from lingbot_cli.remote.client import EngineAddress
from lingbot_cli.remote.key_session import render_with_keys
from lingbot_cli.remote.messages import RemoteScene
from lingbot_cli.remote.pose_session import PoseSession
from lingbot_cli.server.client_events import parse_client_event
from lingbot_cli.server.client_messages import Init, parse_init
from lingbot_cli.server.protocol import ClientLimits, ProtocolError, unpack
from lingbot_cli.server.service import ModelService, SessionDefaults
from lingbot_cli.timeline.schema import CameraSettings
from tests.fuzzing.strategies import (
    EVENTS,
    INITS,
    damaged,
    events,
    faulty,
    fuzzed,
    fuzzed_slowly,
    inits,
    json_values,
    packed_values,
)
from tests.support.realtime_client import init
from tests.support.reference import sample_image, tiny_world
from tests.support.serving import serving

LIMITS = ClientLimits(max_pixels=4096)
packed = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([msgpack.packb(each) for each in (*INITS, *EVENTS)]).flatmap(damaged),
    packed_values.map(msgpack.packb),
    st.integers(0, 5000).map(lambda depth: b"\x91" * depth + b"\xc0"),
)


@pytest.fixture(scope="module")
def service():
    return ModelService(
        tiny_world(), LIMITS, SessionDefaults(sample_image(), "a courtyard", height=32, width=32)
    )


@fuzzed
@given(packed)
def test_bytes_become_maps_with_text_keys(data):
    with suppress(ProtocolError):
        assert all(isinstance(key, str) for key in unpack(data, LIMITS))


@fuzzed
@given(inits)
def test_inits(service, monkeypatch, message):
    touched = []
    with monkeypatch.context() as patched, suppress(ProtocolError):
        patched.setattr(builtins, "open", lambda *given, **_: touched.append(given))
        patched.setattr(socket, "create_connection", lambda *given, **_: touched.append(given))
        assert service.new_session(parse_init(message, LIMITS, 4)).chunk_index == 0
    assert not touched


@fuzzed
@given(st.booleans(), st.booleans(), st.lists(events, min_size=1, max_size=4))
def test_events(service, camera, controls, messages):
    fields = Init(type="init", camera=CameraSettings() if camera else None, controls=controls)
    session = service.new_session(fields)
    for message in messages:
        with suppress(ProtocolError):
            session.apply(parse_client_event(message, LIMITS))
        if session.ready:
            control = session.next_input().control
            assert all(
                np.isfinite(each).all() for each in (control.poses, control.intrinsics, control.actions)
            )


FRAMES = {
    "type": "frame_batch",
    "chunk_index": 0,
    "num_frames": 9,
    "height": 16,
    "width": 16,
    "is_final_frame_batch": True,
    "payload": bytes(9 * 16 * 16 * 3),
}
ANSWERS = (
    {"type": "session", "state": "started", "resume": "a key", "controls": 0, "grace": 30.0},
    {"type": "queue", "position": 1},
    {"type": "error", "content": "no", "code": "bad_init", "retry": True},
    FRAMES,
    {key: value for key, value in FRAMES.items() if key != "payload"} | {"type": "frame_batch_header"},
)
answers = st.lists(
    st.sampled_from(ANSWERS)
    .flatmap(lambda valid: st.just(valid) | faulty(valid, packed_values))
    .map(msgpack.packb)
    | packed
    | st.text(max_size=5),
    max_size=6,
)


class FakeSocket:
    """Engine that sends these messages, then is lost."""

    def __init__(self, messages):
        self.messages = iter(messages)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def send(self, _data):
        return None

    def recv(self, _timeout):
        for message in self.messages:
            return message
        raise ConnectionClosedError(None, None)


def engine_says(monkeypatch, *conversations):
    rest = cycle(conversations)
    monkeypatch.setattr(engine_websocket, "connect", lambda *_args, **_options: FakeSocket(next(rest)))
    monkeypatch.setattr(PoseSession, "_pause", lambda _self, _seconds: None)


ENGINE = EngineAddress("ws://127.0.0.1:9")
STILL = Control(np.tile(np.eye(4), (3, 1, 1)), np.ones((3, 4)), np.zeros((3, 4), np.float32), "", 9)


def scene(*controls):
    return RemoteScene(np.zeros((16, 16, 3), np.uint8), 16, 16, 16, 1, 1.0, controls)


@fuzzed
@given(answers, answers)
@example([msgpack.packb({"type": "session"})], [])
@example([msgpack.packb(ANSWERS[0] | {"controls": "many"})], [])
@example([msgpack.packb(ANSWERS[0] | {"controls": -3})], [])
@example([msgpack.packb(FRAMES)] * 3, [])
def test_answers_to_exact_poses(monkeypatch, first, second):
    engine_says(monkeypatch, first, second)
    session = PoseSession(ENGINE, scene(), idle=lambda: None, warn=lambda _text: None)
    with suppress(LingbotError):
        for _ in range(3):
            session.denoise(STILL)
            assert session.decode(np.zeros(0)).shape[1:] == (16, 16, 3)
    session.close()


@fuzzed_slowly
@given(answers)
def test_answers_to_keys(monkeypatch, messages):
    engine_says(monkeypatch, messages)
    with suppress(LingbotError):
        for frames in render_with_keys(
            ENGINE, scene(STILL, STILL), idle=lambda: None, warn=lambda _text: None
        ):
            assert frames.shape[1:] == (16, 16, 3)


MODELS = {
    "data": [
        {
            "id": "built-in",
            "chunk": 3,
            "fps": 16,
            "area": 7168,
            "licence": "x",
            "trained": True,
            "offers": ["controls"],
            "identity": "abc",
        }
    ]
}


@fuzzed
@given(faulty(MODELS, json_values).map(json.dumps).map(str.encode) | damaged(json.dumps(MODELS).encode()))
@example(b'{"data": [null]}')
@example(json.dumps({"data": [MODELS["data"][0] | {"fps": 0}]}).encode())
@example(json.dumps({"data": [MODELS["data"][0] | {"chunk": -3}]}).encode())
@example(json.dumps({"data": [MODELS["data"][0] | {"area": 1}]}).encode())
def test_model_lists(monkeypatch, data):
    monkeypatch.setattr(remote_client.urllib.request, "urlopen", lambda *_args, **_options: io.BytesIO(data))
    with suppress(LingbotError):
        preset = ENGINE.fetch_info().resolve_model(None).preset
        assert 1 <= preset.chunk <= 64
        assert 1 <= preset.fps <= 120
        assert 256 <= preset.area <= 2**26


@fuzzed_slowly
@given(st.booleans(), st.lists(inits.map(msgpack.packb) | events.map(msgpack.packb) | packed, max_size=8))
def test_a_server_survives_and_reveals_nothing(fuzzed_server, caplog, playing, messages):
    replies = []
    with fuzzed_server.client() as client, suppress(ConnectionClosed, TimeoutError):
        if playing:
            client.send(**init(seed=1, max_chunks=1))
        for message in messages:
            client.socket.send(message)
        while True:
            replies.append(client.socket.recv(0.1))
    for text in (repr(reply) for reply in replies if len(reply) < 4000):
        for word in ("Traceback", 'File "', "site-packages", "root:x:", "/lingbot_cli/", "internal"):
            assert word not in text, text
    assert "a session failed" not in caplog.text


@pytest.fixture(scope="module")
def fuzzed_server():
    """Serve fuzzed clients, and an honest one after them."""
    with serving(limits=LIMITS) as served:
        yield served
        with served.client() as client:
            client.send(**init(max_chunks=1))
            assert len(client.chunk()[0]) == 9
