"""The realtime protocol's envelope: MessagePack maps, refusals that name themselves, and what is too much."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from lingbot_cli.errors import LingbotError
from lingbot_cli.redact import redact


class ProtocolError(LingbotError):
    """A message that is not taken. `code` is for programs, `retry` says whether a corrected one may follow."""

    exit_code = 2

    def __init__(self, code: str, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.retry = retry


@dataclass(frozen=True)
class Limits:
    """What one client may ask for. Sizes in bytes and pixels, times in seconds.

    `pixels` bounds the film's size, `picture_pixels` the first frame's. `window` and `sink` bound the
    world's memory in latent frames, None leaving the model's own. `strikes` refusals close a connection.
    """

    message_bytes: int = 32 * 2**20
    picture_pixels: int = 40_000_000
    pixels: int = 832 * 480
    prompt_characters: int = 10_000
    script_frames: int = 4096
    events_a_second: int = 60
    strikes: int = 20
    chunks: int | None = None
    window: int | None = None
    sink: int | None = None
    first_message: float = 30.0
    send: float = 20.0


def pack(message: Mapping[str, Any]) -> bytes:
    """A message as MessagePack."""
    return bytes(msgpack.packb(message))


def unpack(data: bytes) -> dict[str, Any]:
    """A client's message; Refusal when it is no MessagePack map with text keys."""
    try:
        message = msgpack.unpackb(data, strict_map_key=True)
    except (ValueError, RecursionError) as wrong:
        raise ProtocolError("not_messagepack", "the message is not MessagePack") from wrong
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise ProtocolError("not_a_map", "the message is not a map with text keys")
    return message


def error_message(refusal: ProtocolError) -> dict[str, Any]:
    """What the client is told: one line, without secrets."""
    content = " ".join(redact(str(refusal)).split())[:500]
    return {"type": "error", "content": content, "code": refusal.code, "retry": refusal.retry}


class RateLimiter:
    """So many a second, and a second's worth at once."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left = float(rate)
        self._then: float | None = None

    def take(self, now: float) -> bool:
        """Whether one more is within the rate at monotonic second `now`."""
        if self._then is not None:
            self._left = min(self._rate, self._left + (now - self._then) * self._rate)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
