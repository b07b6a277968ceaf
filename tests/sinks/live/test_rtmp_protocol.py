"""RTMP wire format: values and messages survive any split into chunks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingbot_cli.sinks.live import rtmp_protocol as protocol
from lingbot_cli.sinks.live.rtmp_protocol import MessageReader, decode_amf, encode_amf, encode_message

plain = st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False), st.text(max_size=20))
values = st.one_of(plain, st.dictionaries(st.text(min_size=1, max_size=8), plain, max_size=4))


@given(st.lists(values, max_size=5))
def test_values_survive_encoding(values):
    assert decode_amf(encode_amf(*values)) == values


def test_the_bytes_of_a_command():
    assert encode_amf("connect", 1, {"app": "live"}, None, True) == (
        b"\x02\x00\x07connect" + b"\x00\x3f\xf0" + bytes(6) + b"\x03\x00\x03app\x02\x00\x04live\x00\x00\x09"
        b"\x05" + b"\x01\x01"
    )


def test_incomplete_or_unknown_values_are_ignored():
    assert decode_amf(encode_amf("a", 2.0)[:-1]) == ["a"]
    assert decode_amf(encode_amf("a") + b"\x0bdate") == ["a"]
    assert decode_amf(encode_amf("a", {"b": {"c": 1.0}})) == ["a", {"b": {"c": 1.0}}]
    assert decode_amf(encode_amf("a") + b"\3\0\1b" * 3000) == ["a"]


kinds = st.sampled_from([protocol.AUDIO, protocol.VIDEO, protocol.DATA, protocol.COMMAND])
bodies = st.binary(min_size=1, max_size=700)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(kinds, bodies, st.integers(0, 1 << 33)), max_size=6), st.integers(1, 300), st.data()
)
def test_messages_survive_any_fragmentation(sent, chunk, data):
    size = chunk.to_bytes(4, "big")
    wire = encode_message(protocol.SET_CHUNK_SIZE, size) + b"".join(
        encode_message(kind, body, time=time, chunk=chunk) for kind, body, time in sent
    )
    inbox, heard, at = MessageReader(), [], 0
    while at < len(wire):
        step = data.draw(st.integers(1, 400))
        heard += inbox.feed(wire[at : at + step])
        at += step
    assert heard == [(protocol.SET_CHUNK_SIZE, size), *((kind, body) for kind, body, _ in sent)]


def test_short_headers_inherit_from_earlier_chunks():
    whole = b"\x03\x00\x00\x05\x00\x00\x02\x14" + bytes(4) + b"ab"
    again = b"\x43\x00\x00\x05\x00\x00\x03\x14" + b"cde" + b"\x83\x00\x00\x05" + b"fgh" + b"\xc3" + b"ijk"
    far = b"\x00\x0a\x00\x00\x05\x00\x00\x01\x04" + bytes(4) + b"x"
    farther = b"\x01\x0a\x01" + bytes(5) + b"\x01\x04" + bytes(4) + b"y"
    assert MessageReader().feed(whole + again + far + farther) == [
        *((20, b"ab"), (20, b"cde"), (20, b"fgh"), (20, b"ijk"), (4, b"x"), (4, b"y")),
    ]


def test_an_oversized_message_is_refused():
    with pytest.raises(ValueError, match="16777215 bytes"):
        MessageReader().feed(b"\x03\x00\x00\x00\xff\xff\xff\x14" + bytes(4))


def test_a_message_shorter_than_its_received_part_is_refused():
    begun = b"\x03\x00\x00\x00\x00\x01\x2c\x14" + bytes(4) + bytes(128)
    with pytest.raises(ValueError, match="2 bytes"):
        MessageReader().feed(begun + b"\x43\x00\x00\x00\x00\x00\x02\x14" + bytes(2))
