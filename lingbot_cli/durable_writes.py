"""Durable writes in a process of its own: a disk that hangs blocks that process, which can be left behind.

A thread that waits for such a disk would keep its process, and the shell that waits for it, until the disk answers.
This file is that process's program, too, which imports nothing but the standard library.
"""

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

_WRITE_TIMEOUT_S = 8.0  # into the system's memory, as a rule
_SYNC_TIMEOUT_S = 60.0  # onto the disk, which may be busy
_STOP_TIMEOUT_S = 1.0  # both, once a signal has asked the run to end
_POLL_INTERVAL_S = 0.1


class DurableWriter:
    """Process that writes one file at a time, started with the first; `hangs` once its disk gave no answer."""

    def __init__(self) -> None:
        self.hangs = False
        self._child: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._lock = threading.Lock()  # the answers have no names

    def write(self, path: Path, data: bytes) -> None:
        """Write a file by replacing it; it is on the disk when this returns.

        Errors: OSError; OutputError for a disk that hangs; RunInterrupted when it does so after a signal.
        """
        with self._lock:
            self._write(path, data)

    def _write(self, path: Path, data: bytes) -> None:
        self.hangs = False
        child = self._child
        if child is None or child.poll() is not None:
            child = self._start()
        assert child.stdin is not None
        name = os.fsencode(path.absolute())
        child.stdin.write(b"%d %d\n" % (len(name), len(data)) + name + data)
        child.stdin.flush()
        for timeout_s in (_WRITE_TIMEOUT_S, _SYNC_TIMEOUT_S):
            answer = self._wait(path, timeout_s)
            if answer.strip().isdigit():
                raise OSError(int(answer), os.strerror(int(answer)))
            if not answer:
                self._child = None
                raise OSError(f"process {child.pid}, which writes it, has ended")

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-I", "-S", __file__]
        # With this process's standard error, one that is left behind would hold the readers of that open.
        pipe, devnull = subprocess.PIPE, subprocess.DEVNULL
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=devnull, start_new_session=True)
        self._child, self._answers = child, queue.SimpleQueue()
        threading.Thread(target=self._read, args=(child, self._answers), daemon=True).start()
        return child

    @staticmethod
    def _read(child: "subprocess.Popen[bytes]", answers: "queue.SimpleQueue[bytes]") -> None:
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                answers.put(line)
        answers.put(b"")

    def _wait(self, path: Path, timeout_s: float) -> bytes:
        from lingbot_cli.errors import OutputError
        from lingbot_cli.ui.signals import check_stop, stop_requested

        since = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=_POLL_INTERVAL_S)
            waited = time.monotonic() - since
            stopping = stop_requested() and waited > _STOP_TIMEOUT_S
            if stopping or waited > timeout_s:
                self.hangs = True
                if self._child is not None:
                    self._child.kill()
                self._child = None
            if stopping:
                check_stop()
            if self.hangs:
                raise OutputError(
                    f"{path} could not be written: the disk has not answered for {timeout_s:g} s",
                    hint="continue with --resume once the disk answers again",
                )


def main() -> None:
    """Write the files on standard input, each a line with the lengths of name and data, then both.

    The answers are two lines a file, or the number of an error.
    """
    requests = sys.stdin.buffer
    for line in requests:
        name, data = (requests.read(int(length)) for length in line.split())
        part = os.path.join(os.path.dirname(name), b"." + os.path.basename(name) + b".part")
        try:
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                print("written", flush=True)
                os.fsync(file.fileno())
            os.replace(part, name)
            print("done", flush=True)
        except OSError as failure:
            with contextlib.suppress(OSError):
                os.unlink(part)
            print(failure.errno, flush=True)


if __name__ == "__main__":
    main()
