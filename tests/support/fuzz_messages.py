"""Random hostile messages; `python -m tests.support.fuzz_messages SECONDS` is a long run."""

import random
import sys
import time
from typing import Any

import msgpack
from websockets.exceptions import ConnectionClosed

from lingbot_cli.server.protocol import ClientLimits
from tests.support.realtime_client import Client, init, png

_PATHS = ("/etc/passwd", "../../secret.png", "http://127.0.0.1:9/a.png", "file:///etc/shadow", "data:,x")
_NAMES = (
    *(
        "type",
        "prompt",
        "first_frame",
        "size",
        "fps",
        "seed",
        "max_chunks",
        "condition_inputs",
        "kind",
        "payload",
    ),
    *("event_id", "camera", "controls", "scale", "resume", "have", "realtime_output_format", "num_frames"),
    *("realtime_causal_kv_cache_num_frames", "realtime_causal_sink_size", "output_compression", "poses"),
)
_KINDS = (
    *("prompt", "camera_actions", "composite_input", "turn", "control", "output", "reset", "pause", "resume"),
    *("heartbeat", "stop", "__class__", ""),
)


def value(chance: random.Random, depth: int = 0) -> Any:
    """Return a random value, often an edge case."""
    plain = (
        lambda: None,
        lambda: chance.choice((True, False)),
        lambda: chance.choice((0, 1, -1, 2**31, 2**63 - 1, 2**64 - 1, -(2**63), chance.randrange(10**6))),
        lambda: chance.choice((0.0, -1.5, 1e308, float("nan"), float("inf"), chance.random())),
        lambda: chance.choice((*_PATHS, "", "w", "é\u202e\x00", "x" * chance.randrange(20_000), "832x480")),
        lambda: chance.choice((b"", png()[: chance.randrange(200)], chance.randbytes(100), b"GIF89a")),
        lambda: msgpack.Timestamp(chance.randrange(2**32)),
        lambda: msgpack.ExtType(5, b"abc"),
    )
    nested = (
        lambda: [value(chance, depth + 1) for _ in range(chance.randrange(5))],
        lambda: {chance.choice(_NAMES): value(chance, depth + 1) for _ in range(chance.randrange(4))},
        lambda: {"mode": "state", "transitions": [value(chance, depth + 1)]},
    )
    return chance.choice(plain if depth > 3 or chance.random() < 0.6 else nested)()


def hostile(chance: random.Random) -> bytes:
    """Return the bytes of a random message."""
    kind = chance.random()
    if kind < 0.1:
        return chance.randbytes(chance.randrange(60))
    if kind < 0.15:
        return b"\x91" * chance.randrange(5000) + b"\xc0"
    message: dict[Any, Any] = init() if kind < 0.5 else {"type": "event", "kind": chance.choice(_KINDS)}
    for _ in range(chance.randrange(1, 4)):
        message[chance.choice(_NAMES)] = value(chance)
    if kind > 0.97:
        message = {1: 2, **message}
    packed = msgpack.packb(message)
    if kind > 0.9:
        at = chance.randrange(len(packed))
        packed = packed[:at] + chance.randbytes(1) + packed[at + 1 :]
    return packed


def attack(client: Client, chance: random.Random, messages: int) -> list[str]:
    """Send random messages until the server closes the connection; return its answers."""
    replies: list[str] = []
    try:
        if chance.random() < 0.5:
            client.send(**init(seed=1))
        for _ in range(messages):
            client.socket.send(hostile(chance))
            while True:
                try:
                    data = client.socket.recv(0.002)
                except TimeoutError:
                    break
                if isinstance(data, bytes) and data[:1] >= b"\x80" and len(data) < 4000:
                    replies.append(repr(data))
    except ConnectionClosed as closed:
        replies.append(repr(closed))
    return replies


def main(seconds: float) -> None:
    from tests.support.serving import serving

    chance = random.Random(time.time_ns())
    end = time.monotonic() + seconds
    rounds = 0
    with serving(limits=ClientLimits(max_pixels=4096)) as served:
        while time.monotonic() < end:
            with served.client() as client:
                check(attack(client, chance, 60))
            rounds += 1
        with served.client() as client:
            client.send(**init(max_chunks=1))
            assert len(client.chunk()[0]) == 9
    sys.stdout.write(f"{rounds} connections, {60 * rounds} messages: the server answers still\n")


def check(replies: list[str]) -> None:
    """Assert that no answer shows internals of the server."""
    for text in replies:
        for word in ("Traceback", 'File "', "site-packages", "root:x:", "/lingbot_cli/", "internal"):
            assert word not in text, text


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 300)
