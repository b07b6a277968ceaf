"""Load test of a server: frames a second and latency of 1 to 16 players.

    python -m benchmarks.load_test --players 1,2,4,8,16 --seconds 20
    python -m benchmarks.load_test --players 4 -- --min-fps 16 --device cuda

Starts `lingbot serve` with the built-in model, a session for each player, and the options after `--`. Each player
holds keys at random and counts its frames; the latency is from sending a key to receiving the first frame that shows
it. With `--min-fps` among the options, players that wait in the queue are counted.
"""

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import msgpack
from rich.console import Console
from rich.table import Table
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

IMAGE = Path(__file__).parents[1] / "samples" / "courtyard-day.png"
FPS = 16
START_TIMEOUT_S, RECEIVE_TIMEOUT_S, POLL_INTERVAL_S = 300.0, 120.0, 0.5
KEY_INTERVAL_S = (0.5, 2.0)


@dataclass
class PlayerReport:
    """One player: times of received frames in monotonic seconds, latencies of keys in seconds, and its queue."""

    frames: list[tuple[float, int]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    waited: str = ""
    failure: str = ""

    @property
    def fps(self) -> float:
        """Frames a second from the first frames received to the last."""
        if len(self.frames) < 2:
            return 0.0
        return sum(count for _, count in self.frames[1:]) / (self.frames[-1][0] - self.frames[0][0])


def play(
    url: str,
    report: PlayerReport,
    end: float,
    chance: random.Random,
    done: Callable[[], bool] = lambda: False,
) -> None:
    """Play until the monotonic second `end`, or until `done`."""
    sent: dict[int, float] = {}
    next_key = time.monotonic()
    with connect(url, max_size=None, subprotocols=["lingbot"], open_timeout=START_TIMEOUT_S) as socket:  # type: ignore[list-item]
        socket.send(msgpack.packb({"type": "init", "camera": {}, "fps": FPS, "realtime_output_pacing": True}))
        while time.monotonic() < end and not done():
            try:
                message: dict[str, Any] = msgpack.unpackb(socket.recv(POLL_INTERVAL_S))
            except TimeoutError:
                continue
            now = time.monotonic()
            if message["type"] == "frame_batch_header":
                socket.recv(RECEIVE_TIMEOUT_S)
            if message["type"].startswith("frame_batch"):
                report.frames.append((now, message["num_frames"]))
                shown = [number for number in sent if number <= (message.get("event_id") or 0)]
                report.latencies += [now - sent.pop(number) for number in shown]
            elif message["type"] == "queue":
                report.waited = message["reason"]
            elif message["type"] == "error":
                report.failure = message["content"]
            if report.frames and now >= next_key:
                number = int(1000 * now)
                keys = {"mode": "state", "transitions": [{"actions": [chance.choice("wsadjl")]}]}
                sent[number] = time.monotonic()
                event = {"type": "event", "kind": "camera_actions", "payload": keys, "event_id": number}
                socket.send(msgpack.packb(event))
                next_key = now + chance.uniform(*KEY_INTERVAL_S)


@dataclass(frozen=True)
class ServerProcess:
    """Address of the realtime endpoint and process of a server."""

    url: str
    process: subprocess.Popen[str]


@contextmanager
def serving(options: Sequence[str]) -> Iterator[ServerProcess]:
    """Run `lingbot serve` with these options."""
    command = [
        sys.executable,
        "-m",
        "lingbot_cli",
        "serve",
        "--image",
        str(IMAGE),
        "--port",
        "0",
        "--no-token",
    ]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, env=environ) as server:
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if line.startswith("engine: "):
                    break
            else:
                raise SystemExit("the server did not start")
            yield ServerProcess(line.strip().removeprefix("engine: "), server)
        finally:
            server.terminate()
            server.communicate()


def load(
    url: str,
    players: int,
    seconds: float,
    done: Callable[[Sequence[PlayerReport]], bool] = lambda _reports: False,
) -> list[PlayerReport]:
    """Let players play at the same time, for some seconds or until `done`."""
    reports = [PlayerReport() for _ in range(players)]
    end = time.monotonic() + seconds

    def run(number: int) -> None:
        try:
            play(url, reports[number], end, random.Random(number), lambda: done(reports))
        except (OSError, ConnectionClosed) as error:
            reports[number].failure = str(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(players)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return reports


def add_row(table: Table, reports: Sequence[PlayerReport]) -> None:
    """Add a line for one number of players."""
    rates = [report.fps for report in reports if report.frames]
    latencies = sorted(latency for report in reports for latency in report.latencies)
    shown = [f"{min(rates):.1f}", f"{median(rates):.1f}", f"{sum(rates):.1f}"] if rates else ["-"] * 3
    shown += (
        [f"{median(latencies):.2f}", f"{latencies[int(0.95 * len(latencies))]:.2f}"]
        if latencies
        else ["-"] * 2
    )
    note = next(
        (report.failure or report.waited for report in reports if report.failure or report.waited), ""
    )
    table.add_row(str(len(reports)), str(len(rates)), *shown, note)


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--players", default="1,2,4,8,16", help="numbers of players, with commas between them"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measurement")
    parser.add_argument("options", nargs="*", help="options of `lingbot serve`")
    chosen = parser.parse_args(argv)
    counts = [int(count) for count in chosen.players.split(",")]
    options = chosen.options
    if not any(option.startswith(("--min-fps", "--sessions")) for option in options):
        options = [*options, "--sessions", str(max(counts))]
    table = Table(
        "players", "play", "least fps", "median fps", "fps in all", "key to frame, s", "95 %", "note"
    )
    with serving([*options, "--grace", "0"]) as server:
        for count in counts:
            add_row(table, load(server.url, count, chosen.seconds))
    Console(width=150).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
