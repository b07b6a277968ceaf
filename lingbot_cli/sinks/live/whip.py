"""WebRTC publisher over WHIP: ffmpeg sends the media, a relay passes its offer on, so that it gets no secret."""

import base64
import re
import secrets
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import unquote, urljoin, urlsplit

import numpy as np

from lingbot_cli.errors import LingbotError, OutputError, StreamLostError, UsageError
from lingbot_cli.redact import redact
from lingbot_cli.sinks.live.connections import FfmpegConnection
from lingbot_cli.sinks.live.rtmp import CONNECT_TIMEOUT_S
from lingbot_cli.sinks.live.rtmp_address import query_values, with_decoded

_URL = re.compile(r"whip\+(https?)://(?:([^/@\s]*)@)?(\[[^\]@/\s]+\]|[^/@:\s?]+)(:\d{1,5})?(/\S*)?", re.I)
_MAX_REDIRECTS = 3
_MAX_ANSWER_BYTES = 1 << 18
_CLOSE_TIMEOUT_S = 2.0
_MIN_SECRET = 8
"""Characters of a path's part that may be a secret by itself; shorter ones are words such as `whip`."""


@dataclass(frozen=True)
class WhipAddress:
    """Endpoint of a WHIP server; `repr` and `name` contain no secret: its path may be one."""

    name: str
    url: str = field(repr=False)
    authorization: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str) -> "WhipAddress":
        """Parse whip+https://HOST/PATH; TOKEN@ is a bearer token, USER:PASSWORD@ a login. Errors: UsageError."""
        match = _URL.fullmatch(text)
        if match is None:
            raise UsageError("--to: incomplete WHIP address", hint="use whip+https://TOKEN@HOST/PATH")
        scheme, login, host, port, path = match[1].lower(), *match.groups("")[1:]
        if port and not 0 < int(port[1:]) < 65536:
            raise UsageError(f"--to: invalid port {port[1:]}", hint="use whip+https://TOKEN@HOST:PORT/PATH")
        user, colon, password = map(unquote, login.partition(":"))
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        authorization = f"Basic {basic}" if colon else f"Bearer {user}" if user else ""
        names = [name for name in re.split("[/?]", path) if len(name) >= _MIN_SECRET]
        hidden = with_decoded([path.strip("/"), *names, login, *query_values(path)])
        return cls(
            f"whip+{scheme}://{host}{port}",
            f"{scheme}://{host}{port}{path}",
            authorization,
            (*hidden, password if colon else user, basic if colon else ""),
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


class WhipRelay:
    """HTTP server on the loopback interface for one offer of ffmpeg, which it passes on; `close` ends the session.

    `url`: address for ffmpeg. `failure`: the refusal of the server, if any.
    """

    def __init__(self, address: WhipAddress) -> None:
        self.failure: LingbotError | None = None
        self._address = address
        self._session: str | None = None
        path = f"/{secrets.token_hex(16)}"
        relay = self

        class Handler(BaseHTTPRequestHandler):
            timeout = CONNECT_TIMEOUT_S

            def do_POST(self) -> None:
                answer = b""
                if self.path == path and relay._session is None:
                    offer = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                    try:
                        answer = relay._publish(offer)
                    except StreamLostError as failure:
                        relay.failure = failure
                self.send_response(201 if answer else 502)
                self.send_header("Content-Type", "application/sdp")
                self.send_header("Content-Length", str(len(answer)))
                self.send_header("Location", path)
                self.end_headers()
                self.wfile.write(answer)

            def do_DELETE(self) -> None:  # `close` passes it on, also for an ffmpeg that was ended
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{path}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="whip", daemon=True).start()

    def close(self) -> None:
        """End the session on the server, if it still answers, and the relay."""
        self._server.shutdown()
        self._server.server_close()
        session, self._session = self._session, None
        if session is not None:
            try:
                self._request("DELETE", session, None, _CLOSE_TIMEOUT_S)
            except (OSError, HTTPException, ValueError):
                return

    def _publish(self, offer: bytes) -> bytes:
        """Return the server's answer to an offer. Errors: StreamLostError, without secrets."""
        url = self._address.url
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                try:
                    with self._request("POST", url, offer, CONNECT_TIMEOUT_S) as response:
                        answer: bytes = response.read(_MAX_ANSWER_BYTES)
                        self._session = urljoin(url, response.headers.get("Location", ""))
                        break
                except urllib.error.HTTPError as refusal:
                    if refusal.code not in (307, 308):
                        raise
                    url = urljoin(url, refusal.headers.get("Location", ""))
            else:
                raise ValueError("too many redirects")
            if not answer.startswith(b"v=0"):
                raise ValueError("does not answer as a WHIP server")
        except urllib.error.HTTPError as refusal:
            text = " ".join(refusal.read(200).decode(errors="replace").split())
            raise self._lost_error(f"refuses the stream: {refusal.code} {refusal.reason} {text}") from refusal
        except (OSError, HTTPException, ValueError) as failure:
            raise self._lost_error(
                f"could not be reached: {getattr(failure, 'reason', failure)}"
            ) from failure
        return answer

    def _request(self, method: str, url: str, body: bytes | None, timeout_s: float) -> HTTPResponse:
        """Send a request; another host than the address's gets no login."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("the server leads to an address that is not HTTP")
        headers = {"Content-Type": "application/sdp"} if body else {}
        if self._address.authorization and urlsplit(url)[:2] == urlsplit(self._address.url)[:2]:
            headers["Authorization"] = self._address.authorization
        request = urllib.request.Request(url, body, headers, method=method)
        response: HTTPResponse = _OPENER.open(request, timeout=timeout_s)
        return response

    def _lost_error(self, problem: str) -> StreamLostError:
        text = redact(f"{self._address.name} {problem}", self._address.secrets).strip()
        return StreamLostError(text, hint="check the address, its token and that the server is running")


class WhipConnection(FfmpegConnection):
    """ffmpeg that sends over WebRTC, in a session of its own on the server, which ends with the connection."""

    def __init__(
        self, address: WhipAddress, command: Callable[[str], list[str]], first: np.ndarray, fps: float
    ) -> None:
        self._relay = WhipRelay(address)
        try:
            super().__init__(address.name, command(self._relay.url), first, fps, address.secrets)
        except BaseException:
            self._relay.close()
            raise

    def send(self, item: np.ndarray) -> None:
        if self._encoder.muxer_failed:  # ffmpeg does not exit by itself
            self._encoder.stop()
            raise StreamLostError(f"{self.name} was lost: {self._encoder.last_message}")
        super().send(item)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._relay.close()

    def abort(self) -> None:
        super().abort()
        self._relay.close()

    def _connection_error(self, failure: OutputError) -> LingbotError:
        return self._relay.failure or super()._connection_error(failure)
