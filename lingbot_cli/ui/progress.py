"""How far a run has come, in figures."""

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

_KIB = 1024


@dataclass(frozen=True)
class Progress:
    """The state after a chunk. Totals are None in a live run; `memory` is this process's, in bytes.

    `fps` is frames made a second since the first chunk was ready, `realtime` the same as a multiple of
    the film's own rate, `left` the seconds still needed.
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
    """`start`: seconds from the command to the first chunk of `first` frames; then `fps` frames a second."""

    start: float
    first: int
    fps: float

    def seconds(self, frames: int) -> float:
        """Seconds that a film of so many frames takes."""
        return self.start + max(0, frames - self.first) / self.fps


class ProgressMeter:
    """Counts chunks and frames against a clock; the first chunk starts the rate, so warm-up is left out.

    `chunks_before` and `frames_before` were there before it began.
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
        """Add a chunk of so many frames."""
        now = self.clock()
        self._done += 1
        self._frames += frames
        if self._done == self._before + 1:
            self._first, self._first_frames = now, self._frames
            fps = frames / max(now - self.began, 1e-6)
        else:
            fps = (self._frames - self._first_frames) / max(now - self._first, 1e-6)
        self.fps = fps
        left = None if self.total is None else (self.total - self._frames) / max(fps, 1e-6)
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
        """How fast it went, its beginning counted from that moment of the clock."""
        return RenderSpeed(self._first - since, self._first_frames - self._before_frames, self.fps)


def memory_in_use() -> int:
    """Return the bytes this process holds, with what it holds on a GPU; where that is unknown, its peak."""
    held = _status("VmRSS") or peak_memory()
    torch = sys.modules.get("torch")  # not imported: who has no torch has no GPU memory either
    return held + (torch.cuda.memory_allocated() if torch is not None and torch.cuda.is_available() else 0)


def peak_memory() -> int:
    """Return the most bytes this process has held in main memory."""
    # getrusage would count what the parent held when it forked.
    if peak := _status("VmHWM"):
        return peak
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIB


def _status(name: str) -> int | None:
    """Return a figure of Linux's account of this process in bytes; None where there is no such account."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * _KIB for line in status if line.startswith(name))
    except (OSError, StopIteration):
        return None


def duration_text(seconds: float) -> str:
    """Return seconds as people read them: 8.6 s, 2:05, 1:02:05."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size_text(count: int) -> str:
    """Return bytes as people read them."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
