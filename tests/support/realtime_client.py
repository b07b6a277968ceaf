"""A client written from the published documentation alone: MessagePack over a plain WebSocket."""

import io
from contextlib import contextmanager
from typing import Any

import msgpack
import numpy as np
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.reference import sample_image

ROUTE = "/v1/realtime_video/generate"
WAIT = 60


def png(height: int = 48, width: int = 64, seed: int = 0) -> bytes:
    """Return an encoded first frame."""
    buffer = io.BytesIO()
    Image.fromarray(sample_image(height, width, seed)).save(buffer, "png")
    return buffer.getvalue()


def init(**fields: Any) -> dict[str, Any]:
    """Return an init message as documented, small enough for a test."""
    return {
        "type": "init",
        "prompt": "a courtyard",
        "first_frame": png(),
        "size": "32x32",
        "fps": 16,
        "num_frames": 9,
        "seed": 42,
        "num_inference_steps": 4,
        "guidance_scale": 1.0,
        "realtime_output_format": "raw",
        **fields,
    }


class Client:
    """One connection; every wait has a limit."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []

    def send(self, **message: Any) -> None:
        self.socket.send(msgpack.packb(message))

    def event(self, kind: str, payload: Any = None, event_id: int | None = None) -> None:
        self.send(type="event", kind=kind, payload=payload, event_id=event_id)

    def receive(self) -> dict[str, Any]:
        """Return the next message; the binary message after a raw batch becomes its payload."""
        message = msgpack.unpackb(self.socket.recv(WAIT))
        if message["type"] == "frame_batch_header":
            message |= {"type": "frame_batch", "payload": self.socket.recv(WAIT)}
        self.messages.append(message)
        return message

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return the next message of a type with these values."""
        for _ in range(2000):
            message = self.receive()
            if message["type"] == kind and all(message.get(k) == v for k, v in fields.items()):
                return message
        raise AssertionError(f"no {kind} came")

    def close_code(self) -> int:
        """Read until the server closes the connection; return its close code."""
        try:
            for _ in range(5000):
                self.receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else 1006
        raise AssertionError("the server did not close")

    def chunk(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the frames [T, H, W, 3] of the next chunk and its stats."""
        frames: list[np.ndarray] = []
        for _ in range(2000):
            message = self.receive()
            if message["type"] == "frame_batch":
                frames += decoded(message)
            if message["type"] == "chunk_stats":
                return np.stack(frames), message
        raise AssertionError("no chunk came")


def decoded(batch: dict[str, Any]) -> list[np.ndarray]:
    """Split the payload of a batch into frames."""
    payload, frames, at = batch["payload"], [], 0
    assert len(payload) == batch["total_size"]
    for length in batch["payload_lengths"]:
        piece = payload[at : at + length]
        at += length
        if batch["content_type"] == "application/x-raw-rgb":
            frames.append(np.frombuffer(piece, np.uint8).reshape(batch["height"], batch["width"], 3))
        else:
            frames.append(np.asarray(Image.open(io.BytesIO(piece)).convert("RGB")))
    assert at == len(payload)
    assert len(frames) == batch["num_frames"]
    return frames


@contextmanager
def client(port: int, token: str, *, extended: bool = True, **options: Any):
    """Connect a client; an `extended` one asks for the additions to the published protocol."""
    if extended:
        options.setdefault("subprotocols", ["lingbot"])
    with connect(
        f"ws://127.0.0.1:{port}{ROUTE}?token={token}",
        max_size=None,
        open_timeout=30,
        close_timeout=1,
        **options,
    ) as socket:
        yield Client(socket)
