"""Soak test of a server: sessions opened, played for a chunk and dropped in every way.

    python -m benchmarks.soak --sessions 500 --json soak.json

Starts `lingbot serve` with the built-in model and reports its memory, open files and threads after every 50 sessions.
Exit code 0: from session 100 on the memory stays within 2 %, and files and threads do not grow, but for the threads
of the event loop.
"""

import argparse
import json
import os
import socket
import struct
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgpack
from rich.console import Console
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from benchmarks.load_test import IMAGE, serving

CLIENTS = 4  # at a time
WARM_UP, STEP = 100, 50  # sessions
MAX_GROWTH = 0.02  # of the memory after the warm-up
MAX_NEW_THREADS = 4  # of the event loop's pool, which grows to a fixed size
SETTLE_S = 3.0  # from the end of the last session to the measurement
TIMEOUT_S = 120.0


def close(ws: ClientConnection) -> None:
    """Close in order."""
    ws.close()


def stop(ws: ClientConnection) -> None:
    """End the session with an event."""
    ws.send(msgpack.packb({"type": "event", "kind": "stop"}))
    with suppress(ConnectionClosed):
        while True:
            ws.recv(TIMEOUT_S)


def cut(ws: ClientConnection) -> None:
    """End the connection without a closing handshake."""
    ws.socket.shutdown(socket.SHUT_RDWR)


def reset(ws: ClientConnection) -> None:
    """Reset the connection while the next chunk is rendered."""
    ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ws.socket.close()


def freeze(ws: ClientConnection) -> None:
    """Stop reading for a while, then cut the connection."""
    ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    time.sleep(1.0)
    cut(ws)


def reject(ws: ClientConnection) -> None:
    """Send wrong messages until the server closes."""
    with suppress(ConnectionClosed):
        while True:
            ws.send(b"\xc1")
            ws.recv(TIMEOUT_S)


WAYS: tuple[Callable[[ClientConnection], None], ...] = (close, stop, cut, reset, freeze, reject)


def session(url: str, number: int) -> None:
    """Open a session, receive its first chunk, and drop it in one of the ways."""
    size, encoding = (("48x32", "raw"), ("64x48", "jpeg"), ("112x64", "webp"))[number % 3]
    ws = connect(url, max_size=None, max_queue=None, open_timeout=TIMEOUT_S, close_timeout=1)
    try:
        message = {"type": "init", "size": size, "realtime_output_format": encoding, "seed": number}
        if number % 2:
            message["first_frame"] = IMAGE.read_bytes()
        ws.send(msgpack.packb(message))
        while msgpack.unpackb(ws.recv(TIMEOUT_S), strict_map_key=False)["type"] != "chunk_stats":
            continue
        WAYS[number % len(WAYS)](ws)
    finally:
        with suppress(OSError, ConnectionClosed):
            ws.close()


@dataclass(frozen=True)
class Usage:
    """Resources of a process after a number of sessions: bytes of memory, open files, threads."""

    sessions: int
    memory: int
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int, sessions: int) -> "Usage":
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in status)
        memory, threads = int(fields["VmRSS"].split()[0]) * 1024, int(fields["Threads"])
        return cls(sessions, memory, len(os.listdir(f"/proc/{pid}/fd")), threads)

    def __str__(self) -> str:
        return f"{self.sessions} sessions: {self.memory / 2**20:.1f} MiB, {self.files} files, {self.threads} threads"


def failures(usages: Sequence[Usage]) -> list[str]:
    """Return the promises that do not hold."""
    steady = [usage for usage in usages if usage.sessions >= WARM_UP]
    first, found = steady[0], []
    for usage in steady[1:]:
        if abs(usage.memory / first.memory - 1) > MAX_GROWTH:
            found.append(f"memory after {usage}, and {first.memory / 2**20:.1f} MiB after {first.sessions}")
        if usage.files > first.files or usage.threads > first.threads + MAX_NEW_THREADS:
            found.append(f"files or threads after {usage}, and {first}")
    return found


def wait_until_ended(url: str) -> None:
    """Wait until the server has no session any more."""
    address = urlsplit(url)._replace(scheme="http", path="/metrics").geturl()
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            text = answer.read().decode()
        if "lingbot_connections 0.0" in text and "lingbot_worlds_kept 0.0" in text:
            return
        time.sleep(0.1)


def soak(count: int, options: Sequence[str], report: Callable[[str], None]) -> list[Usage]:
    """Run `count` sessions against a server with these options."""
    usages = []
    flags = ["--sessions", str(CLIENTS), "--grace", "1", *options]
    with serving(flags) as server, ThreadPoolExecutor(CLIENTS) as clients:
        for start in range(0, count, STEP):
            end = min(count, start + STEP)
            list(clients.map(lambda number: session(server.url, number), range(start, end)))
            wait_until_ended(server.url)
            time.sleep(SETTLE_S)
            usages.append(Usage.of(server.process.pid, end))
            report(str(usages[-1]))
    return usages


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sessions and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--json", type=Path, help="file for the measurements")
    parser.add_argument("options", nargs="*", help="options of `lingbot serve`")
    chosen = parser.parse_args(argv)
    console = Console(soft_wrap=True)
    usages = soak(chosen.sessions, chosen.options, console.print)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(usage) for usage in usages], indent=1))
    wrong = failures(usages)
    for text in wrong:
        console.print(text)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
