"""ffmpeg child process: fed with frames, its messages read in a thread; a watchdog finds its exit and stalls."""

import collections
import contextlib
import os
import re
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import BinaryIO, cast

import numpy as np

from lingbot_cli.errors import OutputError
from lingbot_cli.redact import redact

_PROGRESS = re.compile(
    rb"^(frame|fps|stream_\d+_\d+_\w+|bitrate|total_size|out_time\w*|(?:dup|drop)_frames|speed|progress)="
)
_MAX_LINES = 20
_MAX_LINE_BYTES = 4096
_POLL_INTERVAL_MS = 100


class FfmpegProcess:
    """Running ffmpeg, in a session of its own so that Ctrl-C in the terminal does not reach it.

    `command` returns the arguments, given the file descriptor from which ffmpeg reads `metadata`. `output`: its
    standard output, None to discard it. `lock`: an open file that stays locked while ffmpeg runs.
    `stall_timeout_s`: how long a write waits while ffmpeg accepts and encodes nothing, None for ever. `secrets` are
    removed from its messages.
    """

    def __init__(
        self,
        command: Callable[[int | None], list[str]],
        *,
        metadata: str | None = None,
        output: BinaryIO | None = None,
        lock: BinaryIO | None = None,
        stall_timeout_s: float | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.encoded = 0
        self._secrets = secrets
        self._stall_timeout_s = stall_timeout_s
        self._changed = threading.Condition()
        self._stderr_closed = False
        self._last_lines: collections.deque[str] = collections.deque(maxlen=_MAX_LINES)
        with contextlib.ExitStack() as files:
            lock_fd = None if lock is None else lock.fileno()
            metadata_fd = None
            if metadata is not None:
                # The file has no name, so a killed run leaves nothing behind.
                text = files.enter_context(tempfile.TemporaryFile())
                text.write(metadata.encode())
                text.seek(0)
                metadata_fd = text.fileno()
            try:
                self._child = subprocess.Popen(
                    command(metadata_fd),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL if output is None else output,
                    stderr=subprocess.PIPE,
                    pass_fds=[fd for fd in (metadata_fd, lock_fd) if fd is not None],
                    start_new_session=True,
                    bufsize=0,
                )
            except (OSError, subprocess.SubprocessError) as failure:
                raise OutputError(f"ffmpeg could not be started: {failure}") from failure
        if stall_timeout_s is not None:
            os.set_blocking(self.input.fileno(), False)
        self._reader = threading.Thread(target=self._read_stderr, name="ffmpeg stderr", daemon=True)
        self._reader.start()

    @property
    def input(self) -> BinaryIO:
        """Its standard input."""
        assert self._child.stdin is not None
        return cast(BinaryIO, self._child.stdin)

    def _read_stderr(self) -> None:
        """Keep the last lines and the number of encoded frames; discard the rest."""
        assert self._child.stderr is not None
        rest = b""
        while piece := os.read(self._child.stderr.fileno(), 1 << 16):
            *lines, rest = (rest + piece).split(b"\n")
            rest = rest[-_MAX_LINE_BYTES:]
            for line in lines:
                self._parse_line(line[:_MAX_LINE_BYTES])
        self._parse_line(rest)
        with self._changed:
            self._stderr_closed = True
            self._changed.notify_all()

    def _parse_line(self, line: bytes) -> None:
        if line.startswith(b"frame="):
            with self._changed:
                self.encoded = int(line[6:])
                self._changed.notify_all()
        elif line.strip() and not _PROGRESS.match(line):
            self._last_lines.append(redact(line.decode(errors="replace").strip(), self._secrets))

    def write(self, frames: np.ndarray) -> None:
        """Write raw frames, uint8 [T, H, W, 3]. Errors: OutputError when ffmpeg has exited or stalls."""
        view = np.ascontiguousarray(frames).reshape(-1).data
        try:
            while view:
                written: int | None = self.input.write(view)
                if written is None:
                    self._wait_writable()
                else:
                    view = view[written:]
        except (BrokenPipeError, ValueError) as closed:
            raise self.exit_error() from closed

    def _wait_writable(self) -> None:
        """Wait until ffmpeg reads its input; each encoded frame restarts the stall timeout."""
        assert self._stall_timeout_s is not None
        writable = select.poll()
        writable.register(self.input, select.POLLOUT)
        encoded, since = self.encoded, time.monotonic()
        while not writable.poll(_POLL_INTERVAL_MS):
            if self.encoded != encoded:
                encoded, since = self.encoded, time.monotonic()
            elif time.monotonic() - since > self._stall_timeout_s:
                self.stop()
                raise OutputError(
                    f"ffmpeg stalled: it accepted and encoded nothing for {self._stall_timeout_s:g} s"
                )

    def wait_encoded(self, frames: int, timeout_s: float) -> bool:
        """Wait until `frames` are encoded or ffmpeg has exited; return False after the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: self.encoded >= frames or self._stderr_closed, timeout_s)

    def check(self) -> None:
        """Raise OutputError if ffmpeg has exited early."""
        if self._child.poll() is not None:
            raise self.exit_error()

    def finish(self, timeout_s: float | None) -> None:
        """Close the input and wait until ffmpeg has written everything. Errors: OutputError."""
        self._close_input()
        try:
            code = self._child.wait(timeout_s)
        except subprocess.TimeoutExpired as late:
            self.stop()
            raise OutputError(f"ffmpeg did not finish within {timeout_s} s") from late
        self._reader.join(timeout=5)
        if code != 0:
            raise self.exit_error()

    def wait_exit(self, timeout_s: float) -> bool:
        """Wait for the exit of ffmpeg; return whether it has exited."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout_s)
        return self._child.returncode is not None

    def stop(self) -> None:
        """End ffmpeg at once: SIGTERM, then SIGKILL."""
        self._close_input()
        for end in (self._child.terminate, self._child.kill):
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(0.5)
                break
        self._reader.join(timeout=1)

    def _close_input(self) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()

    def exit_error(self) -> OutputError:
        """Return an error with the exit code or signal of ffmpeg and its last messages."""
        try:
            code = self._child.wait(2)
        except subprocess.TimeoutExpired:
            self.stop()
            code = self._child.returncode
        self._reader.join(timeout=1)
        messages = "; ".join(list(self._last_lines)[-3:])
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        return OutputError(f"ffmpeg {how}" + (f": {messages}" if messages else ""))


class StdoutFfmpegProcess(FfmpegProcess):
    """ffmpeg that writes to a pipe, whose reader may close it before the end."""

    def __init__(
        self, command: Callable[[int | None], list[str]], *, output: BinaryIO, metadata: str | None = None
    ) -> None:
        self._output = output
        super().__init__(command, metadata=metadata, output=output)

    def exit_error(self) -> OutputError:
        error = super().exit_error()
        return OutputError("the reader closed the pipe") if reader_closed(self._output) else error


def reader_closed(output: BinaryIO) -> bool:
    """Return whether the other end of a pipe is closed; False for anything that is no pipe."""
    poll = select.poll()
    poll.register(output, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
