"""RTMP wire format: values and messages survive any split into chunks."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingbot_cli.sinks.live import rtmp_protocol as protocol
from lingbot_cli.sinks.live.rtmp_protocol import (
    FlvTag,
    MessageReader,
    decode_amf,
    encode_amf,
    encode_message,
    read_flv_tags,
)

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


def test_chunk_streams_with_interleaved_messages_are_told_apart():
    """The number of a chunk stream is 6 bits, or 64 and one byte, or 64 and two bytes with the lower one first."""
    names = [b"\x3f", b"\x00\x00", b"\x00\x0a", b"\x01\x0a\x01", b"\x01\x0b\x01"]
    length = bytes([0, 0, 130])
    begun = b"".join(
        name + bytes(3) + length + b"\x14" + bytes(4) + bytes([index]) * 128
        for index, name in enumerate(names)
    )
    ended = b"".join(
        bytes([0xC0 | name[0]]) + name[1:] + bytes([index]) * 2 for index, name in enumerate(names)
    )
    assert MessageReader().feed(begun + ended) == [(20, bytes([index]) * 130) for index in range(5)]


def test_numbers_of_messages_and_their_chunk_streams():
    control = (
        protocol.SET_CHUNK_SIZE,
        protocol.ACKNOWLEDGEMENT,
        protocol.USER_CONTROL,
        protocol.WINDOW_SIZE,
        protocol.PEER_BANDWIDTH,
    )
    assert control == (1, 3, 4, 5, 6)
    assert (protocol.AUDIO, protocol.VIDEO, protocol.DATA, protocol.COMMAND) == (8, 9, 18, 20)
    assert {encode_message(kind, b"x")[0] for kind in control} == {2}  # reserved for them
    assert [encode_message(kind, b"x")[0] for kind in (8, 9, 18, 20)] == [4, 6, 4, 3]


@pytest.mark.parametrize(
    ("time", "header", "late"),
    [
        (0xFFFFFE, b"\xff\xff\xfe", b""),
        (0xFFFFFF, b"\xff\xff\xff", b"\x00\xff\xff\xff"),
        ((1 << 32) + 5, b"\0\0\5", b""),
    ],
)
def test_the_bytes_of_a_message(time, header, late):
    wire = encode_message(protocol.VIDEO, b"abcde", stream=1, time=time, chunk=3)
    assert wire == b"\x06" + header + b"\0\0\5\x09" + b"\1\0\0\0" + late + b"abc" + b"\xc6" + late + b"de"
    assert MessageReader().feed(encode_message(1, b"\0\0\0\3") + wire) == [(1, b"\0\0\0\3"), (9, b"abcde")]


def test_values_of_servers_that_lingbot_does_not_send():
    assert decode_amf(b"\x06" + b"\x08\0\0\0\1\0\1a\x05\0\0\x09" + b"\x01\2") == [None, {"a": None}, True]
    nested = b"".join([b"\3\0\1b" * 16, b"\x05", b"\0\0\x09" * 16])
    assert len(decode_amf(nested)) == 1
    assert decode_amf(b"\3\0\1b" + nested + b"\0\0\x09") == []


def flv(kind, time, body):
    start = bytes([kind]) + len(body).to_bytes(3, "big")
    return start + time.to_bytes(4, "big")[1:] + time.to_bytes(4, "big")[:1] + bytes(3) + body + bytes(4)


def test_tags_of_an_flv_stream():
    sent = [(9, 0, b"\x17\x00c"), (8, 0x1234567, b"\xaf\x01s"), (18, 2, b"\x02m")]
    stream = bytes(13) + b"".join(flv(*each) for each in sent[:2]) + flv(9, 3, b"x") + flv(*sent[2])
    tags = [FlvTag(*each) for each in sent]
    assert list(read_flv_tags(io.BytesIO(stream))) == tags
    for missing in (1, 4, 5, 16):
        assert list(read_flv_tags(io.BytesIO(stream[:-missing]))) == tags[:2]


@pytest.mark.parametrize(
    ("kind", "body", "is_header", "is_frame", "is_keyframe"),
    [
        (protocol.DATA, b"\x02\x01", True, False, False),
        (protocol.VIDEO, b"\x17\x00", True, False, False),
        (protocol.VIDEO, b"\x17\x01", False, True, True),
        (protocol.VIDEO, b"\x27\x01", False, True, False),
        (protocol.VIDEO, b"\x17\x02", False, False, False),
        (protocol.AUDIO, b"\xaf\x00", True, False, False),
        (protocol.AUDIO, b"\xaf\x01", False, False, False),
        (protocol.AUDIO, b"\x1f\x01", False, False, False),
        (protocol.AUDIO, b"\x2f\x00", False, False, False),
    ],
)
def test_kinds_of_tags(kind, body, is_header, is_frame, is_keyframe):
    tag = FlvTag(kind, 0, body)
    assert (tag.is_header, tag.is_frame, tag.is_keyframe) == (is_header, is_frame, is_keyframe)


def test_an_oversized_message_is_refused():
    with pytest.raises(ValueError, match="16777215 bytes"):
        MessageReader().feed(b"\x03\x00\x00\x00\xff\xff\xff\x14" + bytes(4))


def test_a_message_shorter_than_its_received_part_is_refused():
    begun = b"\x03\x00\x00\x00\x00\x01\x2c\x14" + bytes(4) + bytes(128)
    with pytest.raises(ValueError, match="2 bytes"):
        MessageReader().feed(begun + b"\x43\x00\x00\x00\x00\x00\x02\x14" + bytes(2))
