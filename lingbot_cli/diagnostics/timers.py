"""Timers of phases, chunk by chunk: CUDA events on a GPU, else a clock."""

import contextlib
from collections.abc import Callable, Iterator
from statistics import mean
from typing import TYPE_CHECKING, Any, Protocol

from lingbot_cli.presets import Preset

if TYPE_CHECKING:
    import torch

PHASES = ("encode", "denoise", "commit", "decode", "transfer", "write")


class Timer(Protocol):
    """Source of timestamps."""

    def now(self) -> Any:
        """Return a timestamp, in the order of the submitted work."""

    def between(self, start: Any, end: Any) -> float:
        """Return the seconds between two timestamps; wait for the work between them."""


class HostTimer:
    """Timestamps of a clock, for calls that return when their work is finished."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.now = clock

    def between(self, start: float, end: float) -> float:
        return end - start


class DeviceTimer:
    """CUDA events on a device's current stream: they time the work on the device, not its submission."""

    def __init__(self, device: "torch.device") -> None:
        self._device = device

    def now(self) -> Any:
        import torch

        with torch.cuda.device(self._device):
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self._device))
        return event

    def between(self, start: Any, end: Any) -> float:
        end.synchronize()
        return start.elapsed_time(end) / 1000


class PhaseTimer:
    """Sum the seconds of named phases for each chunk."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._open: list[tuple[str, Any, Any]] = []
        self.chunks: list[dict[str, float]] = []
        self._chunk_seconds: list[float] = []

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block."""
        start = self._timer.now()
        yield
        self._open.append((name, start, self._timer.now()))

    def end_chunk(self) -> None:
        """End a chunk and wait for the device, which nothing else here does."""
        seconds: dict[str, float] = {}
        for name, start, end in self._open:
            seconds[name] = seconds.get(name, 0.0) + self._timer.between(start, end)
        self.chunks.append(seconds)
        self._chunk_seconds.append(
            self._timer.between(self._open[0][1], self._open[-1][2]) if self._open else 0.0
        )
        self._open.clear()

    def means(self, names: tuple[str, ...], skip: int) -> dict[str, float]:
        """Return the mean seconds of each phase over all chunks but the first `skip`."""
        chunks = self.chunks[skip:]
        return {name: mean(chunk.get(name, 0.0) for chunk in chunks) for name in names}

    def mean_chunk(self, skip: int) -> float:
        """Return the mean seconds of a chunk from the start of its first phase to the end of its last."""
        return mean(self._chunk_seconds[skip:])


def warm_up_chunks(preset: Preset) -> int:
    """Return the number of chunks until the window is full and the cost of a chunk is constant."""
    return 1 + max(0, -(-preset.window // preset.chunk))
