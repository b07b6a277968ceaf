"""ffmpeg child process: fed with frames, its messages read in a thread; a watchdog finds its exit and stalls."""

import collections
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from lingbot_cli.errors import EncoderStalledError, OutputError
from lingbot_cli.operating_system import PASSES_DESCRIPTORS, reader_closed, set_blocking, wait_writable
from lingbot_cli.redact import redact
from lingbot_cli.ui.signals import add_exit_hook, check_stop, stop_requested

_PROGRESS = re.compile(
    rb"^(frame|fps|stream_\d+_\d+_\w+|bitrate|total_size|out_time\w*|(?:dup|drop)_frames|speed|progress)="
)
_MAX_LINES = 20
_MAX_LINE_BYTES = 4096
_POLL_INTERVAL_S = 0.1
STALL_TIMEOUT_S = 8.0
"""How long an encoder may accept and encode nothing: many times what a slow one needs for a frame."""
_IDLE_S = 0.25  # after which a sleeping encoder is not between two frames
_STOP_TIMEOUT_S = 1.0  # the same, once a signal has asked the run to end


class FfmpegProcess:
    """Running ffmpeg, in a session of its own so that Ctrl-C in the terminal does not reach it.

    `command` returns the arguments, given the URL from which ffmpeg reads `metadata`. `output`: its standard output,
    None to discard it. `lock`: an open file that stays locked while ffmpeg runs. `folder`: its working folder.
    `secrets` are removed from its messages. A write or the end fails when ffmpeg stalls: it accepts and encodes
    nothing for STALL_TIMEOUT_S, nor, if `may_be_slow`, uses the CPU.
    """

    def __init__(
        self,
        command: Callable[[str | None], list[str]],
        *,
        metadata: str | None = None,
        output: BinaryIO | None = None,
        lock: BinaryIO | None = None,
        folder: Path | None = None,
        may_be_slow: bool = True,
        secrets: Sequence[str] = (),
    ) -> None:
        self.encoded = 0
        self._secrets = secrets
        self._may_be_slow = may_be_slow
        self._changed = threading.Condition()
        self._stderr_closed = False
        self._last_lines: collections.deque[str] = collections.deque(maxlen=_MAX_LINES)
        with self._metadata_source(metadata) as (url, inherited):
            if lock is not None and PASSES_DESCRIPTORS:
                inherited.append(lock.fileno())
            try:
                self._child = subprocess.Popen(
                    command(url),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL if output is None else output,
                    stderr=subprocess.PIPE,
                    pass_fds=inherited,
                    cwd=folder,
                    # Its only HTTP server is the WHIP relay, on this machine.
                    env={**os.environ, "no_proxy": "*"},
                    start_new_session=True,
                    bufsize=0,
                )
            except (OSError, subprocess.SubprocessError) as failure:
                raise OutputError(f"ffmpeg could not be started: {failure}") from failure
        set_blocking(self.input.fileno(), False)
        _running.add(self)
        self._reader = threading.Thread(target=self._read_stderr, name="ffmpeg stderr", daemon=True)
        self._reader.start()

    @contextlib.contextmanager
    def _metadata_source(self, metadata: str | None) -> Iterator[tuple[str | None, list[int]]]:
        """Give the URL of metadata text, and the descriptors that ffmpeg inherits for it while the block runs."""
        if metadata is None:
            yield None, []
        elif PASSES_DESCRIPTORS:  # the file has no name, so a killed run leaves nothing behind
            with tempfile.TemporaryFile() as text:
                text.write(metadata.encode())
                text.seek(0)
                yield f"pipe:{text.fileno()}", [text.fileno()]
        else:
            folder = tempfile.mkdtemp(prefix="lingbot-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            path = Path(folder, "metadata.txt")
            path.write_bytes(metadata.encode())
            yield f"file:{path}", []

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

    @property
    def last_message(self) -> str:
        """Its last messages, on one line."""
        return "; ".join(list(self._last_lines)[-3:])

    @property
    def muxer_failed(self) -> bool:
        """True once a packet could not be written or sent, after which none is."""
        return any("Error submitting a packet to the muxer" in line for line in list(self._last_lines))

    def write(self, frames: np.ndarray) -> None:
        """Write raw frames, uint8 [T, H, W, 3].

        Errors: OutputError when ffmpeg has exited or stalls; RunInterrupted when it stalls after a signal.
        """
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
        watch = StallWatch(self)
        while not wait_writable(self.input, _POLL_INTERVAL_S):
            watch.check()

    def progress(self) -> tuple[int, int]:
        """Return values that change while ffmpeg works: frames encoded, and CPU time used."""
        return self.encoded, _state(self._child.pid)[1] if self._may_be_slow else 0

    def waits_for_reader(self) -> bool:
        """Return whether the reader of its output is behind, so that a pause is no stall."""
        return False

    @property
    def idle(self) -> bool:
        """True while all threads of ffmpeg sleep: it waits for frames. False where that cannot be known."""
        try:
            threads = [stat.read_text() for stat in Path(f"/proc/{self._child.pid}/task").glob("*/stat")]
        except OSError:
            return False
        return bool(threads) and all(text.rpartition(") ")[2].startswith("S") for text in threads)

    def wait_encoded(self, frames: int, timeout_s: float, source: "FfmpegProcess | None" = None) -> bool:
        """Wait until `frames` are encoded or no more will be; return False after the timeout.

        No more will be when ffmpeg has exited, when it and its `source` stay idle, as after a write that the disk
        refused, or when the run is to end.
        """
        now = busy_at = time.monotonic()
        deadline = now + timeout_s
        with self._changed:
            while not (self.encoded >= frames or self._stderr_closed or stop_requested()):
                if now >= deadline:
                    return False
                if not self.idle or (source is not None and not source.idle):
                    busy_at = now
                if now - busy_at > _IDLE_S:
                    break
                self._changed.wait(min(deadline - now, _POLL_INTERVAL_S))
                now = time.monotonic()
        return True

    def check(self) -> None:
        """Raise OutputError if ffmpeg has exited early."""
        if self._child.poll() is not None:
            raise self.exit_error()

    def finish(self, timeout_s: float | None) -> None:
        """Close the input and wait until ffmpeg has written everything, as long as it does not stall.

        Errors: OutputError; RunInterrupted when it stalls after a signal.
        """
        self._close_input()
        watch, deadline = StallWatch(self), None if timeout_s is None else time.monotonic() + timeout_s
        while not self.wait_exit(_POLL_INTERVAL_S):
            if deadline is None:
                watch.check()
            elif time.monotonic() > deadline:
                self.stop()
                raise OutputError(f"ffmpeg did not finish within {timeout_s} s")
        self._reader.join(timeout=5)
        if self._child.returncode != 0:
            raise self.exit_error()

    @property
    def ended(self) -> bool:
        """True once ffmpeg has exited; a disk that hangs lets no signal through."""
        return self._child.poll() is not None

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

    def kill_if_suspended(self) -> None:
        """Kill ffmpeg if it is stopped by a signal, and would not see the end of its input."""
        if self._child.returncode is None and _state(self._child.pid)[0] in ("T", "t"):
            self._child.kill()

    def _close_input(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.input.close()

    def exit_error(self) -> OutputError:
        """Return an error with the exit code or signal of ffmpeg and its last messages."""
        try:
            code = self._child.wait(2)
        except subprocess.TimeoutExpired:
            self.stop()
            code = self._child.returncode
        self._reader.join(timeout=1)
        if code is None:
            return self.stall_error()
        messages = self.last_message
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        return OutputError(f"ffmpeg {how}" + (f": {messages}" if messages else ""))

    def stall_error(self) -> OutputError:
        """Return an error for a stall, an EncoderStalledError if ffmpeg was ended, and can be started again."""
        text = f"ffmpeg stalled: it accepted and encoded nothing for {STALL_TIMEOUT_S:g} s"
        if self.ended:
            return EncoderStalledError(text)
        return OutputError(f"{text}, nor could it be ended: its disk hangs")


class StallWatch:
    """Watch over a wait for ffmpeg: stops it when nothing changes for too long."""

    def __init__(self, process: FfmpegProcess) -> None:
        self._process = process
        self._progress = process.progress()
        self._since = time.monotonic()
        self._since_seen = self._since  # the same, with a slow reader

    def check(self) -> None:
        """Stop ffmpeg if it stalls. Errors: OutputError; RunInterrupted after a signal."""
        now, progress = time.monotonic(), self._process.progress()
        if progress != self._progress:
            self._progress, self._since, self._since_seen = progress, now, now
        elif self._process.waits_for_reader():
            self._since = now
        if stop_requested() and now - self._since_seen > _STOP_TIMEOUT_S:
            self._process.stop()
            check_stop()
        if now - self._since > STALL_TIMEOUT_S:
            self._process.stop()
            raise self._process.stall_error()


class StdoutFfmpegProcess(FfmpegProcess):
    """ffmpeg that writes to a pipe, whose reader may close it before the end."""

    def __init__(
        self, command: Callable[[str | None], list[str]], *, output: BinaryIO, metadata: str | None = None
    ) -> None:
        self._output = output
        super().__init__(command, metadata=metadata, output=output)

    def waits_for_reader(self) -> bool:
        return not wait_writable(self._output, 0)

    def exit_error(self) -> OutputError:
        error = super().exit_error()
        return OutputError("the reader closed the pipe") if reader_closed(self._output) else error


class ListeningFfmpegProcess(FfmpegProcess):
    """ffmpeg that waits for a caller before it sends its first frame, until `ending`."""

    def __init__(self, command: list[str], ending: threading.Event, *, secrets: Sequence[str]) -> None:
        self._ending = ending
        super().__init__(lambda _: command, may_be_slow=False, secrets=secrets)

    def waits_for_reader(self) -> bool:
        if self._ending.is_set():  # it would wait on, whatever happens to its input
            self.stop()
        return not self.encoded


def _state(pid: int) -> tuple[str, int]:
    """Return the state of a process and the CPU time that it has used; "" and 0 where they cannot be known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], int(fields[11]) + int(fields[12])
    except (OSError, IndexError, ValueError):
        return "", 0


def _kill_suspended() -> None:
    """Kill the encoders that would be left behind; others finish at the end of their input."""
    for process in list(_running):
        process.kill_if_suspended()


_running: "weakref.WeakSet[FfmpegProcess]" = weakref.WeakSet()
add_exit_hook(_kill_suspended)
