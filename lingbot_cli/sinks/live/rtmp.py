"""Publishing over RTMP and RTMPS, spoken here and not by ffmpeg: so the key stands in no command line."""

import contextlib
import os
import re
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field

from lingbot_cli.errors import StreamLostError, UsageError
from lingbot_cli.redact import redact
from lingbot_cli.sinks.live import rtmp_protocol as said
from lingbot_cli.sinks.live.rtmp_protocol import (
    AmfValue,
    FlvTag,
    MessageReader,
    decode_amf,
    encode_amf,
    encode_message,
)

CONNECT_TIMEOUT_S = 3.5  # seconds until a server that says nothing counts as gone
SEND_TIMEOUT_S = 8.0  # seconds until one that takes nothing does
_DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}
_URL = re.compile(r"(rtmps?)://([^/@\s]+|\[[^\]@\s]+\](?::\d+)?)/([^\s?]+)/([^\s/]+(?:\?\S*)?)", re.I)
_URL_HINT = "write rtmp://HOST/APP/KEY, with the server and the key that your service shows you"


@dataclass(frozen=True)
class RtmpAddress:
    """Where to publish; the key stays out of `repr` and of `name`."""

    scheme: str
    host: str
    port: int
    app: str
    key: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "RtmpAddress":
        """The address in an rtmp:// or rtmps:// URL; UsageError, without the key, when it is none."""
        match = _URL.fullmatch(url)
        if match is None:
            raise UsageError("--to: the RTMP address is not complete", hint=_URL_HINT)
        scheme = match[1].lower()
        host, colon, port = match[2].rpartition(":") if re.search(r":\d+$", match[2]) else (match[2], "", "")
        number = int(port) if colon else _DEFAULT_PORTS[scheme]
        if not 0 < number < 65536:
            raise UsageError(f"--to: {number} is no port", hint=_URL_HINT)
        return cls(scheme, host.strip("[]"), number, match[3], match[4])

    @property
    def name(self) -> str:
        """The address without the key."""
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{port}/{self.app}"


class RtmpPublisher:
    """A connection that a server has agreed to take a stream on. Errors: StreamLostError, without the key."""

    def __init__(self, address: RtmpAddress) -> None:
        self.address = address
        self._inbox = MessageReader()
        self._mail: list[tuple[int, bytes]] = []
        self._stream = 0
        self._deadline = time.monotonic() + CONNECT_TIMEOUT_S
        self._socket: socket.socket = socket.socket()
        self._step = "could not be reached"
        try:
            self._open()
            self._handshake()
            self._agree()
            self._socket.settimeout(SEND_TIMEOUT_S)
        except (OSError, ValueError, StreamLostError) as failure:
            self._socket.close()
            raise self._lost(failure) from failure

    def send(self, tag: FlvTag) -> None:
        """Send one FLV tag; at most STALLED seconds while the server takes nothing."""
        body = encode_amf("@setDataFrame") + tag.body if tag.kind == said.DATA else tag.body
        self._step = "was lost"
        try:
            self._listen()
            self._socket.settimeout(SEND_TIMEOUT_S)
            self._socket.sendall(encode_message(tag.kind, body, stream=self._stream, time=tag.time))
        except (OSError, ValueError, StreamLostError) as failure:
            raise self._lost(failure) from failure

    def close(self) -> None:
        """Say goodbye, if the server still listens."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(0.5)
            bye = encode_message(said.COMMAND, encode_amf("FCUnpublish", 6, None, self.address.key))
            bye += encode_message(said.COMMAND, encode_amf("deleteStream", 7, None, self._stream))
            self._socket.sendall(bye)
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()

    def _open(self) -> None:
        plain = socket.create_connection((self.address.host, self.address.port), CONNECT_TIMEOUT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Little waits in the kernel, so a server that takes nothing is noticed.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 * 1024)
        self._socket = plain
        if self.address.scheme == "rtmps":
            context = ssl.create_default_context()
            self._socket = context.wrap_socket(plain, server_hostname=self.address.host)

    def _handshake(self) -> None:
        self._step = "does not answer as an RTMP server"
        self._socket.sendall(b"\3" + bytes(8) + os.urandom(1528))
        answer = b""
        while len(answer) < 1 + 2 * 1536:
            answer += self._receive(1 + 2 * 1536 - len(answer))
        if answer[0] != 3:
            raise ValueError("another protocol")
        self._socket.sendall(answer[1:1537])

    def _agree(self) -> None:
        """Connect to the app and publish under the key."""
        app, key = self.address.app, self.address.key
        self._step = "refuses the app"
        self._say(said.SET_CHUNK_SIZE, struct.pack(">I", said.CHUNK_BYTES))
        about: dict[str, AmfValue] = {"app": app, "type": "nonprivate", "tcUrl": self.address.name}
        self._command("connect", 1, {**about, "flashVer": "FMLE/3.0 (compatible; lingbot)"})
        self._answer(1)
        self._step = "refuses the stream key"
        self._command("releaseStream", 2, None, key)
        self._command("FCPublish", 3, None, key)
        self._command("createStream", 4, None)
        stream = self._answer(4)
        if not isinstance(stream, float) or not 0 <= stream < 1 << 32:
            raise ValueError("no stream")
        self._stream = int(stream)
        self._command("publish", 5, None, key, "live", stream=self._stream)
        self._answer(5)

    def _command(self, name: str, number: int, *values: AmfValue, stream: int = 0) -> None:
        self._say(said.COMMAND, encode_amf(name, number, *values), stream)

    def _say(self, kind: int, body: bytes, stream: int = 0) -> None:
        self._socket.sendall(encode_message(kind, body, stream=stream))

    def _answer(self, number: int) -> AmfValue:
        """Wait for the answer to a command: its last value, or for a publication the server's word."""
        while True:
            while self._mail:
                values = self._hear(*self._mail.pop(0))
                if values[:2] == ["_result", number]:
                    return values[-1]
                if values[:1] == ["onStatus"] and number == 5:
                    return values[-1]
            self._mail = self._inbox.feed(self._receive(1 << 16))

    def _listen(self) -> None:
        """Hear what the server says meanwhile, without waiting for it."""
        while True:
            self._socket.settimeout(0)
            try:
                data = self._socket.recv(1 << 16)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if not data:
                raise ConnectionError("the server hung up")
            for kind, body in self._inbox.feed(data):
                self._hear(kind, body)

    def _hear(self, kind: int, body: bytes) -> list[AmfValue]:
        """Answer what wants an answer; the values of a command."""
        self._socket.settimeout(SEND_TIMEOUT_S)
        if kind == said.USER_CONTROL and body[:2] == b"\0\6":
            self._say(said.USER_CONTROL, b"\0\7" + body[2:6])
        elif kind == said.PEER_BANDWIDTH:
            self._say(said.WINDOW_SIZE, body[:4])
        if kind != said.COMMAND:
            return []
        values = decode_amf(body)
        told = values[-1] if values and isinstance(values[-1], dict) else {}
        if values[:1] == ["_error"] or (values[:1] == ["onStatus"] and told.get("level") == "error"):
            raise StreamLostError(str(told.get("description") or told.get("code") or "no reason given"))
        return values

    def _receive(self, count: int) -> bytes:
        self._socket.settimeout(max(0.01, self._deadline - time.monotonic()))
        data = self._socket.recv(count)
        if not data:
            raise ConnectionError("the server hung up")
        return data

    def _lost(self, failure: Exception) -> StreamLostError:
        reason = "no answer" if isinstance(failure, TimeoutError) else str(failure)
        if isinstance(failure, OSError) and failure.strerror:
            reason = failure.strerror.lower()
        text = redact(f"{self.address.name} {self._step}: {reason}", [self.address.key])
        return StreamLostError(text, hint=_HINTS.get(self._step))


_HINTS = {
    "could not be reached": "is the server running, and the address right?",
    "does not answer as an RTMP server": "rtmps:// is for encrypted servers, rtmp:// for others",
    "refuses the app": "check the part of the address before the key",
    "refuses the stream key": "check the key, and that nobody else streams with it",
}
