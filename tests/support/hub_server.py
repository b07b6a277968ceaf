"""A model hub on the loopback interface with tiny repositories, which can stop in the middle of a file or be slow."""

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = 10_000
"""Bytes from which a file is served as a large file: with the SHA-256 of its content."""

PIECE_BYTES = 2**16


class Hub:
    """Repositories by name, each a table of paths and contents; requests are recorded."""

    def __init__(self, repositories: dict[str, dict[str, bytes]], url: str) -> None:
        self.repositories = repositories
        self.url = url
        self.stop_after: int | None = None
        self.bytes_a_second: int | None = None
        self.stopped = threading.Event()
        self.sent: dict[str, int] = {}
        self.ranges: list[str] = []


@contextmanager
def hub_serving(repositories: dict[str, dict[str, bytes]]) -> Iterator[Hub]:
    """Serve repositories until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler())
    server.daemon_threads = True
    hub = Hub(repositories, f"http://127.0.0.1:{server.server_address[1]}")
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _handler() -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with suppress(ConnectionError):  # the client was killed
                self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, *, body: bool) -> None:
            hub: Hub = self.server.hub  # type: ignore[attr-defined]
            path = self.path.partition("?")[0]
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
                self._info(hub, *found.groups())
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._file(hub, *found.groups(), body=body)
            else:
                self._send(404, b"{}")

        def _info(self, hub: Hub, repository: str, revision: str | None) -> None:
            if repository not in hub.repositories:
                return self._send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
            siblings = []
            for name, content in hub.repositories[repository].items():
                row = {"rfilename": name, "size": len(content), "blobId": _git_hash(content)}
                if len(content) >= LARGE:
                    sha = hashlib.sha256(content).hexdigest()
                    row["lfs"] = {"sha256": sha, "size": len(content), "pointerSize": 130}
                siblings.append(row)
            sha = revision or "c" * 40
            table = {"id": repository, "modelId": repository, "sha": sha, "siblings": siblings, "tags": []}
            return self._send(200, json.dumps(table).encode())

        def _file(self, hub: Hub, repository: str, revision: str, name: str, *, body: bool) -> None:
            content = hub.repositories.get(repository, {}).get(name)
            if content is None:
                return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            first = 0
            if asked := self.headers.get("Range"):
                first = int(asked.removeprefix("bytes=").partition("-")[0])
                hub.ranges.append(f"{name} {asked}")
            rest = content[first:]
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(rest)))
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.send_header("ETag", f'"{_git_hash(content)}"')
            self.send_header("X-Repo-Commit", revision)
            self.end_headers()
            if body:
                self._stream(hub, name, rest)
            return None

        def _stream(self, hub: Hub, name: str, rest: bytes) -> None:
            stop = hub.stop_after if hub.stop_after is not None and len(rest) > hub.stop_after else None
            part = rest if stop is None else rest[:stop]
            for start in range(0, len(part), PIECE_BYTES):
                self.wfile.write(part[start : start + PIECE_BYTES])
                if hub.bytes_a_second is not None:
                    time.sleep(PIECE_BYTES / hub.bytes_a_second)
            hub.sent[name] = hub.sent.get(name, 0) + len(part)
            if stop is not None:
                self.wfile.flush()
                hub.stopped.set()
                self.close_connection = True
                self.connection.recv(1)  # keep the connection open until the client closes it

        def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
