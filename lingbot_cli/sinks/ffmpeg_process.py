"""ffmpeg as a child process that can neither block the writer with its chatter nor die unnoticed."""

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
_KEPT_LINES = 20
_MAX_LINE_BYTES = 4096
_POLL_INTERVAL_MS = 100  # milliseconds between two looks at an encoder that takes nothing


class FfmpegProcess:
    """One running ffmpeg. It has its own session, so a Ctrl-C in the terminal reaches only us.

    `argv` makes the command once the number of the metadata's file descriptor is known; `notes` is the
    metadata it reads there. `output` is where its standard output goes, None for nowhere. `holding`: an
    open file that stays locked while it lives. `hung`: seconds it may take no byte and encode no frame while
    one waits for it, None for any time. `secrets`: what its words are told without.
    """

    def __init__(
        self,
        argv: Callable[[int | None], list[str]],
        *,
        notes: str | None = None,
        output: BinaryIO | None = None,
        holding: BinaryIO | None = None,
        hung: float | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.encoded = 0
        self._secrets = secrets
        self._hung = hung
        self._news = threading.Condition()
        self._silent = False
        self._tail: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        with contextlib.ExitStack() as files:
            held = None if holding is None else holding.fileno()
            fd = None
            if notes is not None:
                # Nameless, so a killed run leaves nothing behind.
                text = files.enter_context(tempfile.TemporaryFile())
                text.write(notes.encode())
                text.seek(0)
                fd = text.fileno()
            try:
                self._child = subprocess.Popen(
                    argv(fd),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL if output is None else output,
                    stderr=subprocess.PIPE,
                    pass_fds=[each for each in (fd, held) if each is not None],
                    start_new_session=True,
                    bufsize=0,
                )
            except (OSError, subprocess.SubprocessError) as failure:
                raise OutputError(f"ffmpeg could not be started: {failure}") from failure
        if hung is not None:
            os.set_blocking(self.input.fileno(), False)
        self._drain = threading.Thread(target=self._read_chatter, name="ffmpeg stderr", daemon=True)
        self._drain.start()

    @property
    def input(self) -> BinaryIO:
        """Its standard input."""
        assert self._child.stdin is not None
        return cast(BinaryIO, self._child.stdin)

    def _read_chatter(self) -> None:
        """Keep the last lines and the count of encoded frames; forget the rest."""
        assert self._child.stderr is not None
        rest = b""
        while piece := os.read(self._child.stderr.fileno(), 1 << 16):
            *lines, rest = (rest + piece).split(b"\n")
            rest = rest[-_MAX_LINE_BYTES:]
            for line in lines:
                self._hear(line[:_MAX_LINE_BYTES])
        self._hear(rest)
        with self._news:
            self._silent = True
            self._news.notify_all()

    def _hear(self, line: bytes) -> None:
        if line.startswith(b"frame="):
            with self._news:
                self.encoded = int(line[6:])
                self._news.notify_all()
        elif line.strip() and not _PROGRESS.match(line):
            self._tail.append(redact(line.decode(errors="replace").strip(), self._secrets))

    def write(self, frames: np.ndarray) -> None:
        """Write raw frames, uint8 [T, H, W, 3]; OutputError when ffmpeg is gone, or hangs."""
        view = np.ascontiguousarray(frames).reshape(-1).data
        try:
            while view:
                taken: int | None = self.input.write(view)
                if taken is None:
                    self._await_room()
                else:
                    view = view[taken:]
        except (BrokenPipeError, ValueError) as gone:
            raise self.failure() from gone

    def _await_room(self) -> None:
        """Wait until ffmpeg takes more; however slow it is, each frame it encodes gives it the whole time anew."""
        assert self._hung is not None
        room = select.poll()
        room.register(self.input, select.POLLOUT)
        encoded, since = self.encoded, time.monotonic()
        while not room.poll(_POLL_INTERVAL_MS):
            if self.encoded != encoded:
                encoded, since = self.encoded, time.monotonic()
            elif time.monotonic() - since > self._hung:
                self.stop()
                raise OutputError(f"ffmpeg hung: for {self._hung:g} s it took nothing and encoded nothing")

    def settle(self, frames: int, timeout: float) -> bool:
        """Wait until so many frames are encoded or ffmpeg has ended; False if `timeout` seconds were too few."""
        with self._news:
            return self._news.wait_for(lambda: self.encoded >= frames or self._silent, timeout)

    def check(self) -> None:
        """Raise when ffmpeg has ended although it was not told to."""
        if self._child.poll() is not None:
            raise self.failure()

    def finish(self, timeout: float | None) -> None:
        """End the input, wait for ffmpeg to write what it holds, and check its word and its count."""
        self._end_input()
        try:
            code = self._child.wait(timeout)
        except subprocess.TimeoutExpired as late:
            self.stop()
            raise OutputError(f"ffmpeg did not finish within {timeout} s") from late
        self._drain.join(timeout=5)
        if code != 0:
            raise self.failure()

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, but not longer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)
        return self._child.returncode is not None

    def stop(self) -> None:
        """End ffmpeg now: politely, then not."""
        self._end_input()
        for end in (self._child.terminate, self._child.kill):
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(0.5)
                break
        self._drain.join(timeout=1)

    def _end_input(self) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()

    def failure(self) -> OutputError:
        """Say how ffmpeg ended, in its own last words."""
        try:
            code = self._child.wait(2)
        except subprocess.TimeoutExpired:
            self.stop()
            code = self._child.returncode
        self._drain.join(timeout=1)
        said = "; ".join(list(self._tail)[-3:])
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return OutputError(f"ffmpeg {how}" + (f": {said}" if said else ""))


class StdoutFfmpegProcess(FfmpegProcess):
    """An Encoder that knows why it cannot write any more."""

    def __init__(
        self, argv: Callable[[int | None], list[str]], *, output: BinaryIO, notes: str | None = None
    ) -> None:
        self._output = output
        super().__init__(argv, notes=notes, output=output)

    def failure(self) -> OutputError:
        failure = super().failure()
        return OutputError("its reader is gone") if reader_gone(self._output) else failure


def reader_gone(output: BinaryIO) -> bool:
    """Whether the other end of a pipe is closed; never of anything else."""
    look = select.poll()
    look.register(output, 0)
    return any(event & select.POLLERR for _, event in look.poll(0))
