"""Live outputs under test: begun, fed in real time, and what arrived read back."""

import os
import socket
import subprocess
import threading
import time
from fractions import Fraction

import numpy as np

from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.live.targets import StreamOptions, choose_target, start_all

VIDEO = VideoInfo(64, 96, Fraction(16))
STILL = np.zeros((64, 96, 3), np.uint8)


def start(url, outages=None, **options):
    target = choose_target(url, StreamOptions(**options), os.environ)
    (output,) = start_all([target], VIDEO, STILL, (outages if outages is not None else []).append)
    return output


class Feed:
    """Puts frames into an output in real time until it is left."""

    def __init__(self, output, fps=16):
        self.output, self.fps = output, fps
        self.left = threading.Event()
        self.longest = 0.0
        self.frames = 0
        self.thread = threading.Thread(target=self.work)

    def work(self):
        noise = np.random.default_rng(0).integers(0, 256, (16, 64, 96, 3), np.uint8)
        while not self.left.wait(1 / self.fps):
            started = time.monotonic()
            self.output.put(noise[self.frames % 16])
            self.longest = max(self.longest, time.monotonic() - started)
            self.frames += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.left.set()
        self.thread.join()


def shortest(outages):
    """Return the seconds of the shortest outage: a writer that waits for an output waits so long."""
    return min(outage.seconds for outage in outages if outage.seconds is not None)


def packets(path, stream):
    """Time, size and flags of each packet of a stream of a file."""
    done = subprocess.run(
        [
            *("ffprobe", "-v", "error", "-select_streams", stream, "-of", "csv=p=0"),
            *("-show_entries", "packet=pts_time,size,flags", str(path)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    rows = [line.split(",") for line in done.stdout.split()]
    return [(float(row[0]), int(row[1]), row[2]) for row in rows]


def silent_listener():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def listen(url):
    """Wait for a caller for ever."""
    start_all([choose_target(url, StreamOptions(), os.environ)], VIDEO, STILL, [].append)
