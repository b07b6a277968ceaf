"""RTMP wire format: AMF0 values, messages in chunks, and FLV tags."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

CHUNK_BYTES = 60_000  # of the chunks that are sent
SET_CHUNK_SIZE, ACKNOWLEDGEMENT, USER_CONTROL, WINDOW_SIZE, PEER_BANDWIDTH = 1, 3, 4, 5, 6
AUDIO, VIDEO, DATA, COMMAND = 8, 9, 18, 20
_MAX_MESSAGE_BYTES = 1 << 20  # of a message from a server
_MAX_OBJECT_DEPTH = 16

AmfValue = float | bool | str | None | Mapping[str, "AmfValue"]


def encode_amf(*values: AmfValue) -> bytes:
    """Return values in AMF0, one after the other."""
    return b"".join(map(_encode, values))


def _encode(value: AmfValue) -> bytes:
    if value is None:
        return b"\5"
    if isinstance(value, bool):
        return b"\1" + bytes([value])
    if isinstance(value, str):
        return b"\2" + _text(value)
    if isinstance(value, Mapping):
        return b"\3" + b"".join(_text(key) + _encode(item) for key, item in value.items()) + b"\0\0\x09"
    return b"\0" + struct.pack(">d", value)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def decode_amf(data: bytes) -> list[AmfValue]:
    """Return the AMF0 values in `data`, up to the first of a type that servers do not send."""
    values: list[AmfValue] = []
    at = 0
    try:
        while at < len(data):
            value, at = _decode(data, at)
            values.append(value)
    except (struct.error, IndexError, ValueError):
        return values
    return values


def _decode(data: bytes, at: int, depth: int = 0) -> tuple[AmfValue, int]:
    kind, at = data[at], at + 1
    if kind == 0:
        return struct.unpack_from(">d", data, at)[0], at + 8
    if kind == 1:
        return bool(data[at]), at + 1
    if kind == 2:
        return _read_text(data, at)
    if kind in (5, 6):
        return None, at
    if kind in (3, 8) and depth < _MAX_OBJECT_DEPTH:
        at += 4 if kind == 8 else 0
        members: dict[str, AmfValue] = {}
        while data[at : at + 3] != b"\0\0\x09":
            name, at = _read_text(data, at)
            members[name], at = _decode(data, at, depth + 1)
        return members, at + 3
    raise ValueError(f"AMF0 kind {kind}, {depth} deep")


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">H", data, at)
    end = at + 2 + length
    return data[at + 2 : end].decode(errors="replace"), end


def encode_message(
    kind: int, body: bytes, *, stream: int = 0, time: int = 0, chunk: int = CHUNK_BYTES
) -> bytes:
    """Return a message in chunks of `chunk` bytes; `time` in milliseconds."""
    channel = {AUDIO: 4, VIDEO: 6, DATA: 4, COMMAND: 3}.get(kind, 2)
    time %= 1 << 32
    late = struct.pack(">I", time) if time >= 0xFFFFFF else b""
    head = min(time, 0xFFFFFF).to_bytes(3, "big") + len(body).to_bytes(3, "big")
    parts = [bytes([channel]) + head + bytes([kind]) + struct.pack("<I", stream) + late + body[:chunk]]
    for at in range(chunk, len(body), chunk):
        parts.append(bytes([0xC0 | channel]) + late + body[at : at + chunk])
    return b"".join(parts)


@dataclass
class _ChunkStream:
    """State that a chunk without a full header inherits from the one before it."""

    time: int = 0
    length: int = 0
    kind: int = 0
    body: bytearray = field(default_factory=bytearray)


class MessageReader:
    """Assembles messages from the chunks that a server sends."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._chunk_bytes = 128
        self._streams: dict[int, _ChunkStream] = {}

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the kind and the body of every message completed by `data`. Errors: ValueError if it is not RTMP."""
        self._data += data
        messages: list[tuple[int, bytes]] = []
        while (used := self._read_chunk(messages)) > 0:
            del self._data[:used]
        return messages

    def _read_chunk(self, messages: list[tuple[int, bytes]]) -> int:
        """Read one chunk; return its number of bytes, 0 when it is incomplete."""
        data = self._data
        if not data:
            return 0
        header_type, number, at = data[0] >> 6, data[0] & 63, 1
        if number < 2:
            at = 2 + number
            if len(data) < at:
                return 0
            number = 64 + data[1] + (data[2] << 8 if number else 0)
        header_bytes = (11, 7, 3, 0)[header_type]
        stream = self._streams.setdefault(number, _ChunkStream())
        if len(data) < at + header_bytes:
            return 0
        time, length, kind = stream.time, stream.length, stream.kind
        if header_type < 3:
            time = int.from_bytes(data[at : at + 3], "big")
        if header_type < 2:
            length, kind = int.from_bytes(data[at + 3 : at + 6], "big"), data[at + 6]
        at += header_bytes + (4 if time == 0xFFFFFF else 0)
        if not len(stream.body) <= length <= _MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of {length} bytes")
        end = at + min(self._chunk_bytes, length - len(stream.body))
        if len(data) < end:
            return 0
        stream.time, stream.length, stream.kind = time, length, kind
        stream.body += data[at:end]
        if len(stream.body) == length:
            body, stream.body = bytes(stream.body), bytearray()
            if kind == SET_CHUNK_SIZE and len(body) == 4:
                self._chunk_bytes = max(1, int.from_bytes(body, "big") & 0x7FFFFFFF)
            messages.append((kind, body))
        return end


_FLV_HEADER_BYTES = 9 + 4  # the file header and the size of the tag before the first, 0
_AAC, _KEYFRAME = 10, 1


@dataclass(frozen=True)
class FlvTag:
    """FLV tag: `kind` AUDIO, VIDEO or DATA; `time` in milliseconds."""

    kind: int
    time: int
    body: bytes

    @property
    def is_header(self) -> bool:
        """True for metadata and codec headers, which a decoder needs first."""
        if self.kind == DATA:
            return True
        coded = self.kind == VIDEO or self.body[0] >> 4 == _AAC
        return coded and self.body[1] == 0

    @property
    def is_frame(self) -> bool:
        """True for a video frame."""
        return self.kind == VIDEO and self.body[1] == 1

    @property
    def is_keyframe(self) -> bool:
        """True for a video frame that needs no other frame."""
        return self.is_frame and self.body[0] >> 4 == _KEYFRAME


def read_flv_tags(stream: BinaryIO) -> Iterator[FlvTag]:
    """Yield the tags of an FLV stream to its end, without an incomplete last one."""
    stream.read(_FLV_HEADER_BYTES)
    while len(head := stream.read(11)) == 11:
        size = int.from_bytes(head[1:4], "big")
        body = stream.read(size)
        if len(stream.read(4)) < 4:
            return
        if len(body) > 1:
            yield FlvTag(head[0] & 31, int.from_bytes(head[7:8] + head[4:7], "big"), body)
