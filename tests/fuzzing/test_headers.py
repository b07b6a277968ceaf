"""Fuzzed headers of files and requests: safetensors, GGUF, camera files, images, RTMP and HTTP."""

import io
import json
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from starlette.datastructures import Headers

from lingbot_cli.camera.formats.read_cameras import read_cameras
from lingbot_cli.checkpoints.gguf import read_gguf
from lingbot_cli.checkpoints.headers import read_header, read_json
from lingbot_cli.errors import LingbotError, UsageError
from lingbot_cli.image import read_image
from lingbot_cli.remote.client import EngineAddress
from lingbot_cli.server.auth import AccessRules
from lingbot_cli.sinks.live.rtmp_protocol import MessageReader, decode_amf, encode_amf, encode_message
from tests.fuzzing.strategies import EDGE_TEXTS, damaged, faulty, fuzzed, misspelt
from tests.support.reference import sample_image

TENSORS = {
    "__metadata__": {"format": "pt"},
    "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "a.bias": {"dtype": "BF16", "shape": [3], "data_offsets": [24, 30]},
}


def safetensors_bytes(table, data=bytes(30)):
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + data


@fuzzed
@given(faulty(TENSORS).map(safetensors_bytes) | damaged(safetensors_bytes(TENSORS)))
def test_safetensors(tmp_path, data):
    file = tmp_path / "model.safetensors"
    file.write_bytes(data)
    with suppress(LingbotError):
        for tensor in read_header(file).values():
            assert 0 <= tensor.start <= tensor.end <= len(data)
            assert all(isinstance(side, int) for side in tensor.shape)


def text_bytes(text):
    return struct.pack("<Q", len(text)) + text.encode()


GGUF = b"".join(
    [
        b"GGUF" + struct.pack("<IQQ", 3, 2, 3),
        text_bytes("general.architecture") + struct.pack("<I", 8) + text_bytes("wan"),
        text_bytes("general.alignment") + struct.pack("<II", 4, 32),
        text_bytes("comfy.gguf.orig_shape.a") + struct.pack("<IIQii", 9, 5, 2, 8, 4),
        text_bytes("a") + struct.pack("<IQIQ", 1, 32, 0, 0),
        text_bytes("b") + struct.pack("<IQQIQ", 2, 32, 2, 8, 128),
        bytes(400),
    ]
)


@fuzzed
@given(damaged(GGUF))
@example(GGUF)
def test_gguf(tmp_path, data):
    file = tmp_path / "model.gguf"
    file.write_bytes(data)
    with suppress(LingbotError):
        for tensor in read_gguf(file)[1].values():
            assert 0 <= tensor.start <= tensor.end <= len(data)


@fuzzed
@given(faulty({"_class_name": "WanModel", "dim": 4}).map(json.dumps).map(str.encode) | st.binary(max_size=40))
def test_configurations(tmp_path, data):
    file = tmp_path / "config.json"
    file.write_bytes(data)
    with suppress(LingbotError):
        assert isinstance(read_json(file), dict)


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def npz(save=np.savez, **arrays):
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


POSES = np.tile(np.eye(4), (5, 1, 1))
FRAMES = [{"file_path": f"{n}.png", "transform_matrix": np.eye(4).tolist()} for n in range(3)]
NERF = {"fl_x": 500.0, "fl_y": 500.0, "cx": 416, "cy": 240, "w": 832, "h": 480, "frames": FRAMES}
CAMERAS = (
    npy(POSES),
    npz(data=POSES, inds=np.arange(5)),
    npz(np.savez_compressed, c2w=POSES, intrinsics=np.ones((5, 4))),
    json.dumps(NERF).encode(),
    json.dumps([np.eye(4).tolist()] * 3).encode(),
    b"0 0 0 0 0 0 0 1\n0.1 0 0 0.1 0 0 0 1\n",
    b"https://a.b/c\n" + b"1 0.5 0.9 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 1 0\n" * 3,
)


@fuzzed
@given(st.sampled_from(CAMERAS).flatmap(damaged) | faulty(NERF).map(json.dumps).map(str.encode))
@example(b"\x93NUMPY\x01\x00v\x00{" + npy(POSES))
def test_camera_files(tmp_path, data):
    file = tmp_path / "cameras"
    file.write_bytes(data)
    with suppress(LingbotError):
        assert np.isfinite(read_cameras(file).poses).all()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_images(kind):
    buffer = io.BytesIO()
    Image.fromarray(sample_image(24, 32)).save(buffer, kind)

    @fuzzed
    @given(damaged(buffer.getvalue()))
    def check(data):
        with suppress(UsageError):
            image = read_image(io.BytesIO(data), name="first_frame", max_pixels=10_000)
            assert image.dtype == np.uint8
            assert image.shape[2:] == (3,)

    check()


ANSWER = encode_message(20, encode_amf("_result", 1.0, None, {"code": "NetConnection.Connect.Success"}))


@fuzzed
@given(damaged(encode_message(1, (9).to_bytes(4, "big")) + ANSWER * 2), st.integers(1, 50))
def test_rtmp(data, step):
    reader = MessageReader()
    with suppress(ValueError):
        for start in range(0, len(data), step):
            for _kind, body in reader.feed(data[start : start + step]):
                decode_amf(body)


HEADERS = {"host": "127.0.0.1:30000", "origin": "http://127.0.0.1:30000", "authorization": "Bearer a-token"}
header_texts = st.sampled_from([*EDGE_TEXTS[:5], "Basic eDp5", "[::1", "a:b:c", "bearer"]) | st.text(
    st.characters(max_codepoint=255), max_size=20
)


@fuzzed
@given(
    st.dictionaries(st.sampled_from([*HEADERS, "sec-websocket-protocol"]), header_texts),
    misspelt("token=abc&a=%41"),
)
def test_requests_without_the_token(headers, query):
    raw = [
        (name.encode(), value.encode("latin-1", "replace")) for name, value in {**HEADERS, **headers}.items()
    ]
    with suppress(ValueError):  # answered with 400
        denial = AccessRules("the token").denial(Headers(raw=raw), query)
        assert denial is not None
        assert denial[0] in (401, 403, 421)


@fuzzed
@given(misspelt("wss://x:secret@127.0.0.1:30000/a/v1/realtime_video/generate?token=abc#b"))
def test_engine_addresses(text):
    with suppress(UsageError):
        engine = EngineAddress.parse(text, {})
        assert engine.websocket_url().startswith(("ws://", "wss://"))
