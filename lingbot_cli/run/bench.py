"""How fast a world is on this machine, phase by phase and as played."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from statistics import mean

import numpy as np
from PIL import Image

from lingbot_cli.run.job import render
from lingbot_cli.run.perform import Opened, load, precision_of
from lingbot_cli.run.progress import peak_memory, size_text
from lingbot_cli.run.request import Prepared, Request, prepare
from lingbot_cli.sinks.base import FilmInfo, Sink
from lingbot_cli.weights.checkpoint import read_checkpoint

PHASES = ("encode", "denoise", "commit", "decode", "transfer", "write")
WARM_UP = 1
SINK_FRAMES = 144


@dataclass(frozen=True)
class Figures:
    """What was measured: `phases` are mean seconds a chunk, one after the other, without the warm-up.

    `first_frame`: seconds from a loaded world to its first frames. `fps`: frames a second as played, with
    the phases overlapping; `sink_fps`: of the encoder alone, at 832×480. `memory`: the most bytes held, in
    main memory and on the device.
    """

    model: str
    size: str
    device: str
    precision: str
    chunks: int
    load: float
    first_frame: float
    phases: dict[str, float]
    fps: float
    realtime: float
    sink_fps: float
    memory: int
    device_memory: int


class Stopwatch:
    """Adds up the seconds of named phases, chunk by chunk; `settle` waits for the device's queue to empty."""

    def __init__(self, clock: Callable[[], float], settle: Callable[[], object]) -> None:
        self.laps: list[dict[str, float]] = [{}]
        self._clock = clock
        self._settle = settle

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block."""
        self._settle()
        began = self._clock()
        yield
        self._settle()
        lap = self.laps[-1]
        lap[name] = lap.get(name, 0.0) + self._clock() - began

    def lap(self) -> None:
        """Begin a new chunk."""
        self.laps.append({})

    def means(self) -> dict[str, float]:
        """The mean seconds of each phase after the warm-up."""
        laps = self.laps[WARM_UP:-1]
        return {name: mean(lap.get(name, 0.0) for lap in laps) for name in PHASES}


@contextlib.contextmanager
def walk(request: Request, chunks: int) -> Iterator[Prepared]:
    """Prepare a straight walk of so many chunks after the warm-up, into a picture that is drawn for it."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "slope.png"
        shades = np.linspace(0, 255, 480, dtype=np.uint8)[:, None, None]
        Image.fromarray(np.broadcast_to(shades, (480, 832, 3)).copy()).save(image)
        latents = read_checkpoint(request.model, request.assets).preset.chunk * (chunks + WARM_UP)
        yield prepare(replace(request, image=image, moves=f"w-{4 * latents - 3}"))


def measure(prepared: Prepared, sink: Sink, clock: Callable[[], float]) -> Figures:
    """Render the film twice, timed step by step and then as a user would, and return the figures.

    `sink` is opened again and again, so it must overwrite.
    """
    import torch

    began = clock()
    opened = Opened(prepared, load(prepared))
    loaded = clock() - began
    on_cuda = opened.world.device.type == "cuda"
    watch = Stopwatch(clock, torch.cuda.synchronize if on_cuda else lambda: None)
    first_frame = _step_by_step(replace(opened, phase=watch.phase), sink, watch, clock)
    moments: list[tuple[float, int]] = []
    sink.open(prepared.info())
    render(
        opened.steps(None),
        opened.begin,
        sink,
        stopped=lambda: False,
        on_chunk=lambda chunk: moments.append((clock(), chunk.step.shown)),
    )
    sink.close()
    played = moments[WARM_UP - 1 :]
    fps = sum(frames for _, frames in played[1:]) / (played[-1][0] - played[0][0])
    return Figures(
        model=prepared.plan.preset,
        size=f"{prepared.plan.width}x{prepared.plan.height}",
        device=torch.cuda.get_device_name(opened.world.device) if on_cuda else "cpu",
        precision=precision_of(prepared),
        chunks=len(prepared.controls) - WARM_UP,
        load=loaded,
        first_frame=first_frame,
        phases=watch.means(),
        fps=fps,
        realtime=fps / prepared.plan.fps,
        sink_fps=sink_alone(sink, clock),
        memory=peak_memory(),
        device_memory=torch.cuda.max_memory_allocated() if on_cuda else 0,
    )


def _step_by_step(opened: Opened, sink: Sink, watch: Stopwatch, clock: Callable[[], float]) -> float:
    """Render with nothing overlapping; return the seconds until the first frames were there."""
    prepared = opened.prepared
    began = clock()
    first_frame = 0.0
    session = opened.begin(None)
    sink.open(prepared.info())
    for index, control in enumerate(prepared.controls):
        frames = session.decode(session.denoise(control))
        with watch.phase("transfer"):
            host = frames.cpu().numpy()
        if index == 0:
            first_frame = clock() - began
        with watch.phase("write"):
            sink.write(host[: control.frames])
        watch.lap()
    sink.close()
    return first_frame


def sink_alone(sink: Sink, clock: Callable[[], float]) -> float:
    """The frames a second that a sink takes when nothing else runs: a picture that pans, 832×480."""
    height, width, chunk = 480, 832, 12
    across = np.arange(2 * width) * 255 // (2 * width)
    down = np.sin(np.arange(height) / 9) * 60
    picture = np.stack(
        [across + down[:, None], across * 0 + 128 + down[:, None], 255 - across - down[:, None]], -1
    )
    picture = picture.clip(0, 255).astype(np.uint8)
    sink.open(FilmInfo(height, width, Fraction(16), SINK_FRAMES))
    began = clock()
    for first in range(0, SINK_FRAMES, chunk):
        sink.write(
            np.stack([picture[:, pan : pan + width] for pan in range(3 * first, 3 * (first + chunk), 3)])
        )
    sink.close()
    return SINK_FRAMES / (clock() - began)


def rows(figures: Figures) -> list[tuple[str, str]]:
    """The figures as lines of a table: what, and how much."""
    chunk = sum(figures.phases.values())
    return [
        ("model", f"{figures.model}, {figures.size}, {figures.precision}, {figures.device}"),
        ("chunks measured", f"{figures.chunks}"),
        ("load", f"{figures.load:.2f} s"),
        ("first frame", f"{figures.first_frame:.2f} s"),
        *((phase, f"{figures.phases[phase] * 1000:.1f} ms") for phase in PHASES),
        ("one chunk, step by step", f"{chunk * 1000:.1f} ms"),
        ("as played", f"{figures.fps:.1f} fps, {figures.realtime:.2f}× real time"),
        ("sink alone, 832x480", f"{figures.sink_fps:.1f} fps, {figures.sink_fps / 16:.1f}× real time"),
        ("peak memory", size_text(figures.memory)),
        *([("peak device memory", size_text(figures.device_memory))] if figures.device_memory else []),
    ]
