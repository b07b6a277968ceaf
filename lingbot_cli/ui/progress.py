"""Progress of a run: chunks, frames, speed and memory."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from lingbot_cli import operating_system

_KIB = 1024


@dataclass(frozen=True)
class Progress:
    """State after a chunk; `chunks` and `total` are None in a live run.

    `total` and `frames` count frames. `fps`: frames rendered per second since the first chunk; `realtime`: the same
    as a multiple of the video's rate. `seconds` since the start, `left` until the end. `memory` of this process
    in bytes.
    """

    chunk: int
    chunks: int | None
    frames: int
    total: int | None
    seconds: float
    fps: float
    realtime: float
    left: float | None
    memory: int
    keys: str = ""


@dataclass(frozen=True)
class RenderSpeed:
    """Seconds from the command to the first chunk (`start`) of `first` frames, and then frames per second."""

    start: float
    first: int
    fps: float

    def seconds(self, frames: int) -> float:
        """Return the seconds that a video of so many frames takes."""
        return self.start + max(0, frames - self.first) / self.fps


class ProgressMeter:
    """Counter of chunks and frames against a clock, in seconds; the rate starts after the first chunk's warm-up.

    `rate`: the video's frames per second. `chunks_before` and `frames_before` come from an earlier run.
    """

    def __init__(
        self,
        rate: Fraction,
        chunks: int | None,
        total: int | None,
        clock: Callable[[], float],
        *,
        chunks_before: int = 0,
        frames_before: int = 0,
    ) -> None:
        self.rate = rate
        self.chunks = chunks
        self.total = total
        self.clock = clock
        self.began = clock()
        self._before = self._done = chunks_before
        self._frames = self._first_frames = self._before_frames = frames_before
        self._first = self.began
        self.fps = 0.0

    def count(self, frames: int, keys: str = "") -> Progress:
        """Add a chunk of so many frames and return the progress."""
        now = self.clock()
        self._done += 1
        self._frames += frames
        if self._done == self._before + 1:
            self._first, self._first_frames = now, self._frames
            fps = frames / max(now - self.began, 1e-6)
        else:
            fps = (self._frames - self._first_frames) / max(now - self._first, 1e-6)
        self.fps = fps
        # After a resume the first chunk's time is that of start-up: it says nothing about the others.
        guess = self._before and self._done == self._before + 1
        left = None if self.total is None or guess else (self.total - self._frames) / max(fps, 1e-6)
        return Progress(
            chunk=self._done,
            chunks=self.chunks,
            frames=self._frames,
            total=self.total,
            seconds=now - self.began,
            fps=fps,
            realtime=fps / float(self.rate),
            left=left,
            memory=memory_in_use(),
            keys=keys,
        )

    def speed(self, since: float) -> RenderSpeed:
        """Return the speed so far; `since`: the clock's seconds at the command's start."""
        return RenderSpeed(self._first - since, self._first_frames - self._before_frames, self.fps)


def memory_in_use() -> int:
    """Return the bytes of this process in main memory (else its peak) and on the GPU."""
    host = _status("VmRSS") or peak_memory()
    torch = sys.modules.get("torch")  # not imported here: without torch there is no GPU memory
    if torch is None or not torch.cuda.is_available():
        return host
    return host + sum(torch.cuda.memory_allocated(index) for index in range(torch.cuda.device_count()))


def peak_memory() -> int:
    """Return the peak of this process in main memory, in bytes."""
    # getrusage would count the parent's memory at the fork.
    return _status("VmHWM") or operating_system.peak_memory()


def _status(name: str) -> int | None:
    """Return a value of /proc/self/status in bytes, None where there is no such file."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * _KIB for line in status if line.startswith(name))
    except (OSError, StopIteration):
        return None


def duration_text(seconds: float) -> str:
    """Format seconds: 8.6 s, 2:05, 1:02:05."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size_text(count: int) -> str:
    """Format bytes: 512 MiB, 1.5 GiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def fit_line(line: str, columns: int) -> str:
    """Leave out the last of a line's parts, which dots separate, and cut the first, for so many columns."""
    while len(line) > columns and " · " in line:
        line = line.rpartition(" · ")[0]
    return line[:columns]
