"""A scripted RTMP server on loopback, which answers the commands of one client after another."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from lingbot_cli.sinks.live import rtmp_protocol as protocol
from lingbot_cli.sinks.live.rtmp_protocol import (
    AmfValue,
    MessageReader,
    decode_amf,
    encode_amf,
    encode_message,
)

Answer = Callable[[list[AmfValue]], bytes]
"""Returns the bytes to answer a command with; raises ConnectionError after the last."""


def command(*values: AmfValue) -> bytes:
    """Return the message of a command."""
    return encode_message(protocol.COMMAND, encode_amf(*values))


def refusal(description: str) -> bytes:
    """Return the message that refuses to connect."""
    return command(
        "_error",
        1,
        None,
        {"level": "error", "code": "NetConnection.Connect.Rejected", "description": description},
    )


def accept(values: list[AmfValue]) -> bytes:
    """Answer a command of a client that is welcome."""
    name, number = values[0], values[1]
    if name == "createStream":
        return command("_result", number, None, 1.0)
    if name == "publish":
        return command("onStatus", 0, None, {"level": "status", "code": "NetStream.Publish.Start"})
    return command("_result", number, None, {"level": "status", "code": "NetConnection.Connect.Success"})


class ScriptedServer:
    """Server of one `answer`; `tags` counts the audio and video messages that it received.

    With `flood`, bytes that it sends without end once a stream is published.
    """

    def __init__(self, answer: Answer, flood: bytes = b"") -> None:
        self.answer, self.flood, self.tags = answer, flood, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError, ValueError):
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        reader, kinds = MessageReader(), (protocol.AUDIO, protocol.VIDEO)
        client.sendall(b"\3" + bytes(1536) + read_exactly(client, 1537)[1:])
        read_exactly(client, 1536)
        size = struct.pack(">I", protocol.CHUNK_BYTES)
        client.sendall(encode_message(protocol.SET_CHUNK_SIZE, size))
        while data := client.recv(1 << 16):
            for kind, body in reader.feed(data):
                self.tags += kind in kinds
                if kind != protocol.COMMAND:
                    continue
                values = decode_amf(body)
                client.sendall(self.answer(values))
                if values[0] == "publish" and self.flood:
                    threading.Thread(target=self._send_flood, args=(client,), daemon=True).start()

    def _send_flood(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client.sendall(self.flood)


def read_exactly(client: socket.socket, count: int) -> bytes:
    """Receive so many bytes."""
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            raise ConnectionError
        data += piece
    return data


@contextlib.contextmanager
def scripted_server(answer: Answer = accept, flood: bytes = b"") -> Iterator[ScriptedServer]:
    """Run a scripted server while the block runs."""
    server = ScriptedServer(answer, flood)
    try:
        yield server
    finally:
        server.close()
