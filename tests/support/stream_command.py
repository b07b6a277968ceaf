"""A running `lingbot stream` with its output."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

SMALL = ("--size", "32x32")


class Streaming:
    """A running `lingbot stream`; its output is read while it runs."""

    def __init__(self, *arguments, url=None, stdin=subprocess.DEVNULL):
        environ = {**os.environ, "OMP_NUM_THREADS": "2"} | ({"LINGBOT_STREAM_URL": url} if url else {})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lingbot_cli", "stream", *map(str, arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self.out, self.err = [], []
        pairs = ((self.process.stdout, self.out), (self.process.stderr, self.err))
        self.readers = [threading.Thread(target=self._read, args=pair) for pair in pairs]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream, lines):
        with stream:
            lines.extend(stream)

    def said(self, event):
        return [said for line in list(self.out) if (said := json.loads(line))["event"] == event]

    def say(self, line):
        self.process.stdin.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
        self.process.stdin.flush()

    def end(self, seconds=120):
        code = self.process.wait(seconds)
        for reader in self.readers:
            reader.join(10)
        return code
