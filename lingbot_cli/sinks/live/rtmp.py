"""RTMP and RTMPS publisher, without ffmpeg: a stream key in its command line would be visible to other users."""

import contextlib
import os
import socket
import ssl
import struct
import time

from lingbot_cli.errors import StreamLostError
from lingbot_cli.redact import redact
from lingbot_cli.sinks.live import rtmp_protocol as protocol
from lingbot_cli.sinks.live.rtmp_address import RtmpAddress, adobe_query
from lingbot_cli.sinks.live.rtmp_protocol import (
    AmfValue,
    FlvTag,
    MessageReader,
    decode_amf,
    encode_amf,
    encode_message,
)

CONNECT_TIMEOUT_S = 3.5  # for a server that sends nothing
SEND_TIMEOUT_S = 8.0  # for a server that receives nothing
_SECOND_THOUGHT_S = 0.25  # for a server that refuses a stream after it has accepted it
_MAX_LOGIN_STEPS = 2
_MAX_PENDING_BYTES = 4096  # read before each tag
_HINTS = {
    "could not be reached": "check that the server is running and the address is right",
    "does not answer as an RTMP server": "use rtmps:// for encrypted servers, rtmp:// for others",
    "refuses the app": "check the part of the address before the key, and user and password if it has them",
    "refuses the stream key": "check the key, and that no other stream uses it",
}


class RtmpPublisher:
    """Connection on which a server accepts a stream. Errors: StreamLostError, without the key."""

    def __init__(self, address: RtmpAddress) -> None:
        self.address = address
        self._reader = MessageReader()
        self._messages: list[tuple[int, bytes]] = []
        self._stream = 0
        self._deadline = time.monotonic() + CONNECT_TIMEOUT_S
        self._socket: socket.socket = socket.socket()
        self._step = "could not be reached"
        try:
            self._log_in()
            self._publish()
            self._socket.settimeout(SEND_TIMEOUT_S)
        except (OSError, ValueError, StreamLostError) as failure:
            self._socket.close()
            raise self._lost_error(failure) from failure

    def send(self, tag: FlvTag) -> None:
        """Send one FLV tag, within SEND_TIMEOUT_S."""
        body = encode_amf("@setDataFrame") + tag.body if tag.kind == protocol.DATA else tag.body
        self._step = "was lost"
        try:
            self._read_pending()
            self._socket.settimeout(SEND_TIMEOUT_S)
            self._socket.sendall(encode_message(tag.kind, body, stream=self._stream, time=tag.time))
        except (OSError, ValueError, StreamLostError) as failure:
            raise self._lost_error(failure) from failure

    def close(self) -> None:
        """Unpublish the stream, if the server still receives, and disconnect."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(0.5)
            bye = encode_message(protocol.COMMAND, encode_amf("FCUnpublish", 6, None, self.address.key))
            bye += encode_message(protocol.COMMAND, encode_amf("deleteStream", 7, None, self._stream))
            self._socket.sendall(bye)
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()

    def _log_in(self) -> None:
        """Connect to the app; a server that asks for the user's login refuses twice and is connected to again."""
        query = ""
        for step in range(_MAX_LOGIN_STEPS + 1):
            self._reader, self._messages = MessageReader(), []
            self._open()
            self._handshake()
            try:
                self._connect_app(query)
                return
            except StreamLostError as refusal:
                user, password = self.address.user, self.address.password
                answer = adobe_query(str(refusal), user, password) if user else None
                if answer is None or step == _MAX_LOGIN_STEPS:
                    raise
                query = answer
                self._socket.close()

    def _open(self) -> None:
        plain = socket.create_connection((self.address.host, self.address.port), CONNECT_TIMEOUT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A small kernel buffer, so that a server that stops reading is noticed.
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

    def _connect_app(self, query: str) -> None:
        """Connect to the app, with the query of a login."""
        self._step = "refuses the app"
        self._send_message(protocol.SET_CHUNK_SIZE, struct.pack(">I", protocol.CHUNK_BYTES))
        app, url = self.address.app + query, self.address.tc_url + query
        about: dict[str, AmfValue] = {"app": app, "type": "nonprivate", "tcUrl": url}
        self._send_command("connect", 1, {**about, "flashVer": "FMLE/3.0 (compatible; lingbot)"})
        self._wait_response(1)

    def _publish(self) -> None:
        """Publish under the stream key."""
        key = self.address.key
        self._step = "refuses the stream key"
        self._send_command("releaseStream", 2, None, key)
        self._send_command("FCPublish", 3, None, key)
        self._send_command("createStream", 4, None)
        stream = self._wait_response(4)
        if not isinstance(stream, float) or not 0 <= stream < 1 << 32:
            raise ValueError("no stream")
        self._stream = int(stream)
        self._send_command("publish", 5, None, key, "live", stream=self._stream)
        self._wait_response(5)
        # node-media-server accepts first, and closes the connection if the key is wrong.
        self._read_pending(_SECOND_THOUGHT_S)

    def _send_command(self, name: str, number: int, *values: AmfValue, stream: int = 0) -> None:
        self._send_message(protocol.COMMAND, encode_amf(name, number, *values), stream)

    def _send_message(self, kind: int, body: bytes, stream: int = 0) -> None:
        self._socket.sendall(encode_message(kind, body, stream=stream))

    def _wait_response(self, number: int) -> AmfValue:
        """Wait for the response to a command, or to publishing the onStatus message; return its last value."""
        while True:
            while self._messages:
                values = self._handle(*self._messages.pop(0))
                if values[:2] == ["_result", number]:
                    return values[-1]
                if values[:1] == ["onStatus"] and number == 5:
                    return values[-1]
            self._messages = self._reader.feed(self._receive(1 << 16))

    def _read_pending(self, timeout_s: float = 0) -> None:
        """Handle messages that have arrived, or arrive in time, a bounded number, as a server may send more."""
        self._socket.settimeout(timeout_s)
        try:
            data = self._socket.recv(_MAX_PENDING_BYTES)
        except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
            return
        if not data:
            raise ConnectionError("the server closed the connection")
        for kind, body in self._reader.feed(data):
            self._handle(kind, body)

    def _handle(self, kind: int, body: bytes) -> list[AmfValue]:
        """Respond where a response is due; return the values of a command."""
        self._socket.settimeout(SEND_TIMEOUT_S)
        if kind == protocol.USER_CONTROL and body[:2] == b"\0\6":
            self._send_message(protocol.USER_CONTROL, b"\0\7" + body[2:6])
        elif kind == protocol.PEER_BANDWIDTH:
            self._send_message(protocol.WINDOW_SIZE, body[:4])
        if kind != protocol.COMMAND:
            return []
        values = decode_amf(body)
        status = values[-1] if values and isinstance(values[-1], dict) else {}
        if values[:1] == ["_error"] or (values[:1] == ["onStatus"] and status.get("level") == "error"):
            raise StreamLostError(str(status.get("description") or status.get("code") or "no reason given"))
        return values

    def _receive(self, count: int) -> bytes:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:  # a server may send without end, and answer nothing
            raise TimeoutError
        self._socket.settimeout(remaining)
        data = self._socket.recv(count)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def _lost_error(self, failure: Exception) -> StreamLostError:
        reason = "no answer" if isinstance(failure, TimeoutError) else str(failure)
        if isinstance(failure, OSError) and failure.strerror:
            reason = failure.strerror.lower()
        text = f"{self.address.name} {self._step}: {redact(reason, self.address.secrets)}"
        return StreamLostError(text, hint=_HINTS.get(self._step))
