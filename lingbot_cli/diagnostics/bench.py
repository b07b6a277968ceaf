"""Benchmark of a model on this machine: seconds a phase, frames a second, memory, roofline."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.diagnostics.timers import PHASES, DeviceTimer, HostTimer, PhaseTimer, warm_up_chunks
from lingbot_cli.render.backend import LocalBackend, LocalRender
from lingbot_cli.render.pipeline import run_pipeline
from lingbot_cli.render.preflight import check_memory
from lingbot_cli.render.request import PreparedVideo, Request, prepare
from lingbot_cli.runtime.autotune import apply_tuning, choose_tuning
from lingbot_cli.runtime.fast_mode import resolve_model
from lingbot_cli.runtime.load_model import load_model
from lingbot_cli.runtime.model_options import ModelOptions, read_model
from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.ui.display import Display
from lingbot_cli.ui.progress import peak_memory

if TYPE_CHECKING:
    from lingbot_cli.diagnostics.flops import OpCost
    from lingbot_cli.model.world_model import WorldModel

LoadModel = Callable[[Checkpoint, ModelOptions, Sequence[str]], "WorldModel"]
PEAK_MEASURE_S = 1.0
SINK_FRAMES = 144


@dataclass(frozen=True)
class BenchResult:
    """Measurements of one run. `phases`: mean seconds a chunk, without overlap, with a full window.

    `chunk`: seconds of one such chunk. `load`, `first_frame`: seconds. `fps`: frames a second of a render,
    with overlapping phases; `sink_fps`: of the encoder alone, at 832x480. `memory`, `device_memory`: peak
    bytes. `flops`, `bytes`: cost of one chunk by phase; `peak_flops`, `peak_bytes`: reached by the device a
    second in this run, on a matrix product and on a copy. `speed_options`: those that are not exact, by flag.
    """

    model: str
    size: str
    device: str
    precision: str
    kernel: str | None
    threads: int
    chunks: int
    load: float
    first_frame: float
    phases: dict[str, float]
    chunk: float
    fps: float
    realtime: float
    sink_fps: float
    memory: int
    device_memory: int
    flops: dict[str, int]
    bytes: dict[str, int]
    peak_flops: float
    peak_bytes: float
    speed_options: dict[str, str]

    def roofline(self, phase: str) -> float | None:
        """Return the share of the device's peak that a phase reaches, 1 at most; None if it was not counted."""
        if not self.flops.get(phase) or not self.phases[phase]:
            return None
        least = max(self.flops[phase] / self.peak_flops, self.bytes[phase] / self.peak_bytes)
        return least / self.phases[phase]


@contextlib.contextmanager
def bench_scene(
    request: Request, chunks: int, checkpoint: Checkpoint | None = None
) -> Iterator[PreparedVideo]:
    """Prepare a straight walk of `chunks` chunks after the warm-up, from a generated image."""
    options = request.options
    checkpoint = checkpoint or read_model(options)
    preset = resolve_model(request.options, checkpoint)[1].preset
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "slope.png"
        shades = np.linspace(0, 255, 480, dtype=np.uint8)[:, None, None]
        Image.fromarray(np.broadcast_to(shades, (480, 832, 3)).copy()).save(image)
        latents = preset.chunk * (chunks + warm_up_chunks(preset))
        yield prepare(replace(request, image=image, moves=f"w-{4 * latents - 3}"), checkpoint=checkpoint)


def measure(
    prepared: PreparedVideo,
    sink: Sink,
    clock: Callable[[], float],
    load: LoadModel = load_model,
) -> BenchResult:
    """Render the video twice, without overlap and as `render` does, and return the measurements.

    `sink` is opened several times, so it must overwrite.
    """
    import torch

    from lingbot_cli.diagnostics.flops import measure_peaks

    started = clock()
    decode_batch = check_memory(prepared).decode_batch
    checkpoint, options = prepared.checkpoint, prepared.request.options
    tuning = choose_tuning(checkpoint, options, prepared.plan.height, prepared.plan.width)
    model = apply_tuning(load(checkpoint, options, prepared.prompts), tuning)
    opened = LocalRender(prepared, model, decode_batch=decode_batch)
    load_seconds = clock() - started
    opened.compile(Display())
    skip = warm_up_chunks(opened.model.preset)
    device = opened.model.device
    on_cuda = device.type == "cuda"
    timer = PhaseTimer(DeviceTimer(device) if on_cuda else HostTimer(clock))
    first_frame, costs = _render_serially(opened, sink, timer, clock)
    fps = _render_fps(opened, sink, skip, clock)
    window = {} if options.window is None else {"window": str(options.window)}
    peak = measure_peaks(device, opened.model.transformer.dtype, PEAK_MEASURE_S, clock)
    return BenchResult(
        model=prepared.plan.preset,
        size=f"{prepared.plan.width}x{prepared.plan.height}",
        device=torch.cuda.get_device_name(device) if on_cuda else "cpu",
        precision=LocalBackend(prepared).precision(),
        kernel=tuning.kernel,
        threads=tuning.threads,
        chunks=len(prepared.controls) - skip,
        load=load_seconds,
        first_frame=first_frame,
        phases=timer.means(PHASES, skip),
        chunk=timer.mean_chunk(skip),
        fps=fps,
        realtime=fps / prepared.plan.fps,
        sink_fps=sink_fps(sink, clock),
        memory=peak_memory(),
        device_memory=torch.cuda.max_memory_reserved(device) if on_cuda else 0,
        flops={name: cost.flops for name, cost in costs.items()},
        bytes={name: cost.bytes for name, cost in costs.items()},
        peak_flops=peak.flops,
        peak_bytes=peak.bytes,
        speed_options=window | options.speed_options(),
    )


def sink_fps(sink: Sink, clock: Callable[[], float]) -> float:
    """Return the frames a second that a sink alone takes, on an image that pans at 832x480."""
    height, width, chunk = 480, 832, 12
    across = np.arange(2 * width) * 255 // (2 * width)
    down = np.sin(np.arange(height) / 9) * 60
    image = np.stack(
        [across + down[:, None], across * 0 + 128 + down[:, None], 255 - across - down[:, None]], -1
    )
    image = image.clip(0, 255).astype(np.uint8)
    sink.open(VideoInfo(height, width, Fraction(16), SINK_FRAMES))
    started = clock()
    for first in range(0, SINK_FRAMES, chunk):
        pans = range(3 * first, 3 * (first + chunk), 3)
        sink.write(np.stack([image[:, pan : pan + width] for pan in pans]))
    sink.close()
    return SINK_FRAMES / (clock() - started)


def _render_serially(
    opened: LocalRender, sink: Sink, timer: PhaseTimer, clock: Callable[[], float]
) -> tuple[float, "dict[str, OpCost]"]:
    """Render without overlap; return the seconds to the first frames and the cost of a chunk by phase."""
    import torch

    from lingbot_cli.diagnostics.flops import CostByPhase

    prepared = opened.prepared
    hooks: list[Callable[[str], contextlib.AbstractContextManager[object]]] = [timer.phase]
    started = clock()
    first_frame = 0.0
    session = replace(opened, phase=lambda name: hooks[-1](name)).start_session(None)
    sink.open(prepared.video_info())
    for index, control in enumerate(prepared.controls):
        frames = session.decode(session.denoise(control))
        with timer.phase("transfer"):
            host = frames.cpu().numpy()
        if index == 0:
            first_frame = clock() - started
        with timer.phase("write"):
            sink.write(host[: control.frames])
        timer.end_chunk()
    sink.close()
    costs = CostByPhase()
    hooks.append(costs)
    with torch.compiler.set_stance("force_eager"):  # compiled code hides its operations from the counter
        session.step(prepared.controls[-1])
    return first_frame, costs.phases


def _render_fps(opened: LocalRender, sink: Sink, skip: int, clock: Callable[[], float]) -> float:
    """Render with overlapping phases; return the frames a second after `skip` chunks."""
    written: list[tuple[float, int]] = []
    sink.open(opened.prepared.video_info())
    run_pipeline(
        opened.tasks(),
        opened.start_session,
        sink,
        stopped=lambda: False,
        on_chunk=lambda chunk: written.append((clock(), chunk.task.shown)),
    )
    sink.close()
    steady = written[skip - 1 :]
    return sum(frames for _, frames in steady[1:]) / (steady[-1][0] - steady[0][0])
