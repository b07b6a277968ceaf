"""Realtime protocol: MessagePack maps, errors with a code, limits of a client and its event rate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from lingbot_cli.errors import LingbotError
from lingbot_cli.redact import redact


class ProtocolError(LingbotError):
    """Rejected message. `code` is for programs; `retry` says that a corrected message may follow."""

    exit_code = 2

    def __init__(self, code: str, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.retry = retry


@dataclass(frozen=True)
class ClientLimits:
    """Limits of one client. Sizes in bytes and pixels, times in seconds.

    `max_fields_bytes` limits a message without the first image of an init, the only field that may be larger.
    `max_pixels` limits the video's size, `max_image_pixels` the first image's; `max_window` the attention window in
    latent frames, None to the model's own. `max_rejected` rejected messages close the connection.
    """

    max_message_bytes: int = 32 * 2**20
    max_fields_bytes: int = 256 * 2**10
    max_image_pixels: int = 40_000_000
    max_pixels: int = 832 * 480
    max_prompt_characters: int = 10_000
    max_script_frames: int = 4096
    max_events_per_s: int = 60
    max_rejected: int = 20
    max_chunks: int | None = None
    max_window: int | None = None
    init_timeout_s: float = 30.0
    send_timeout_s: float = 20.0


MAX_TYPE_BYTES = 32
_PACKED_TYPE, _PACKED_FIRST_FRAME = msgpack.packb("type"), msgpack.packb("first_frame")


def pack(message: Mapping[str, Any]) -> bytes:
    """Encode a message as MessagePack."""
    return bytes(msgpack.packb(message))


def unpack(data: bytes, limits: ClientLimits = ClientLimits()) -> dict[str, Any]:
    """Decode a client's message.

    Errors: ProtocolError when it is no MessagePack map with text keys, or too large for its kind.
    """
    try:
        if len(data) > limits.max_fields_bytes:
            _check_large(data, limits.max_fields_bytes)
        message = msgpack.unpackb(data, strict_map_key=True)
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise ProtocolError("not_messagepack", "the message is not MessagePack") from error
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise ProtocolError("not_a_map", "the message is not a map with text keys")
    return message


def _check_large(data: bytes, max_fields_bytes: int) -> None:
    """Measure the fields of a message without decoding them: a few bytes can become gigabytes of empty maps.

    Errors: ProtocolError unless it is an init, small but for its first image; ValueError when it is no map.
    """
    reader = msgpack.Unpacker(max_buffer_size=len(data))
    reader.feed(data)
    fields_bytes, kind = 0, None
    for _ in range(reader.read_map_header()):
        start = reader.tell()
        reader.skip()
        key_end = reader.tell()
        reader.skip()
        key, value = data[start:key_end], data[key_end : reader.tell()]
        if key == _PACKED_TYPE and len(value) < MAX_TYPE_BYTES:
            kind = msgpack.unpackb(value)
        fields_bytes += len(key) + (0 if key == _PACKED_FIRST_FRAME else len(value))
        if fields_bytes > max_fields_bytes:
            break
    if fields_bytes > max_fields_bytes or kind != "init":
        raise ProtocolError(
            "too_large", f"a message may have {max_fields_bytes} bytes beside the first_frame of an init"
        )


def error_message(error: ProtocolError, *, extended: bool) -> dict[str, Any]:
    """Return the `error` message: one line, secrets removed; `extended` adds `code` and `retry`."""
    content = " ".join(redact(str(error)).split())[:500]
    message = {"type": "error", "content": content}
    return {**message, "code": error.code, "retry": error.retry} if extended else message


class RateLimiter:
    """Token bucket of `rate` events a second that holds one second's worth."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._tokens = float(rate)
        self._updated_at: float | None = None

    def allow(self, now: float) -> bool:
        """Take a token at monotonic second `now`; False when none is left."""
        if self._updated_at is not None:
            self._tokens = min(self._rate, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
