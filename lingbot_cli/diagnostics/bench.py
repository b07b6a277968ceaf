"""How fast a world is on this machine, phase by phase and as played, and how near to what the device can do."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lingbot_cli.checkpoints.checkpoint import Checkpoint, read_checkpoint
from lingbot_cli.diagnostics.bench_sink import sink_fps
from lingbot_cli.diagnostics.timers import DeviceTimer, HostTimer, PhaseTimer
from lingbot_cli.presets import Preset
from lingbot_cli.render.chunk_plan import NOTHING
from lingbot_cli.render.memory import check_memory
from lingbot_cli.render.pipeline import render
from lingbot_cli.render.render import Opened, precision_of
from lingbot_cli.render.request import Prepared, Request, prepare
from lingbot_cli.runtime.autotune import tuned, tuning_of
from lingbot_cli.runtime.fast_mode import resolve_model
from lingbot_cli.runtime.load_model import load
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.sinks.base import Sink
from lingbot_cli.ui.progress import peak_memory, size_text

if TYPE_CHECKING:
    from lingbot_cli.diagnostics.flops import OpCost
    from lingbot_cli.model.world_model import WorldModel

LoadModel = Callable[[Checkpoint, ModelOptions, Sequence[str]], "WorldModel"]
PHASES = ("encode", "denoise", "commit", "decode", "transfer", "write")
PEAK_MEASURE_S = 1.0


@dataclass(frozen=True)
class BenchResult:
    """What was measured: `phases` are mean seconds a chunk, one after the other, once the window is full.

    `chunk`: seconds of one chunk so, which its phases add up to. `first_frame`: seconds from a loaded world to
    its first frames. `fps`: frames a second as played, with the phases overlapping; `sink_fps`: of the encoder
    alone, at 832×480. `memory`: the most bytes held, in main memory and on the device. `flops` and
    `bytes`: what the phases of one chunk compute and must move; `peak_flops` and `peak_bytes`: what the
    device reached a second in this run, on a matrix product and a copy. `levers`: what was not exact, by flag.
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
    levers: dict[str, str]

    def roofline(self, phase: str) -> float | None:
        """The share of the fastest possible time that a phase reaches: 1 is as fast as the device can."""
        if not self.flops.get(phase) or not self.phases[phase]:
            return None
        least = max(self.flops[phase] / self.peak_flops, self.bytes[phase] / self.peak_bytes)
        return least / self.phases[phase]


def warm_up_chunks(preset: Preset) -> int:
    """How many chunks pass until a chunk costs what every later one costs: the window is full."""
    return 1 + max(0, -(-preset.window // preset.chunk))


@contextlib.contextmanager
def bench_scene(request: Request, chunks: int, checkpoint: Checkpoint | None = None) -> Iterator[Prepared]:
    """Prepare a straight walk of so many chunks after the warm-up, into a picture that is drawn for it."""
    checkpoint = checkpoint or read_checkpoint(request.options.model, request.options.assets)
    preset = resolve_model(request.options, checkpoint)[1].preset
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "slope.png"
        shades = np.linspace(0, 255, 480, dtype=np.uint8)[:, None, None]
        Image.fromarray(np.broadcast_to(shades, (480, 832, 3)).copy()).save(image)
        latents = preset.chunk * (chunks + warm_up_chunks(preset))
        yield prepare(replace(request, image=image, moves=f"w-{4 * latents - 3}"), checkpoint=checkpoint)


def measure(
    prepared: Prepared,
    sink: Sink,
    clock: Callable[[], float],
    load: LoadModel = load,
) -> BenchResult:
    """Render the film twice, timed step by step and then as a user would, and return the figures.

    `sink` is opened again and again, so it must overwrite.
    """
    import torch

    from lingbot_cli.diagnostics.flops import measure_peaks

    began = clock()
    together = check_memory(prepared).decode_batch
    checkpoint, options = prepared.here, prepared.request.options
    tuning = tuning_of(checkpoint, options, prepared.plan.height, prepared.plan.width)
    world = load(checkpoint, options, prepared.prompts)
    opened = Opened(prepared, tuned(world, tuning), decode_batch=together)
    loaded = clock() - began
    opened.compile(None)
    skip = warm_up_chunks(opened.world.preset)
    device = opened.world.device
    on_cuda = device.type == "cuda"
    watch = PhaseTimer(DeviceTimer() if on_cuda else HostTimer(clock))
    first_frame, work = _step_by_step(opened, sink, watch, clock)
    moments: list[tuple[float, int]] = []
    sink.open(prepared.info())
    render(
        opened.steps(NOTHING),
        opened.begin,
        sink,
        stopped=lambda: False,
        on_chunk=lambda chunk: moments.append((clock(), chunk.step.shown)),
    )
    sink.close()
    played = moments[skip - 1 :]
    fps = sum(frames for _, frames in played[1:]) / (played[-1][0] - played[0][0])
    peak = measure_peaks(device, opened.world.transformer.dtype, PEAK_MEASURE_S, clock)
    return BenchResult(
        model=prepared.plan.preset,
        size=f"{prepared.plan.width}x{prepared.plan.height}",
        device=torch.cuda.get_device_name(device) if on_cuda else "cpu",
        precision=precision_of(prepared),
        kernel=tuning.kernel,
        threads=tuning.threads,
        chunks=len(prepared.controls) - skip,
        load=loaded,
        first_frame=first_frame,
        phases=watch.means(PHASES, skip),
        chunk=watch.mean_chunk(skip),
        fps=fps,
        realtime=fps / prepared.plan.fps,
        sink_fps=sink_fps(sink, clock),
        memory=peak_memory(),
        device_memory=torch.cuda.max_memory_allocated() if on_cuda else 0,
        flops={name: done.flops for name, done in work.items()},
        bytes={name: done.bytes for name, done in work.items()},
        peak_flops=peak.flops,
        peak_bytes=peak.bytes,
        levers=speed_options_of(prepared),
    )


def speed_options_of(prepared: Prepared) -> dict[str, str]:
    """The levers of a film, a window that is not the model's own among them."""
    options = prepared.request.options
    window = {} if options.window is None else {"window": str(options.window)}
    return window | options.speed_options()


class _PhaseHook:
    """The phases of a session, given to the stopwatch and for its last chunk to the count of work."""

    def __init__(self, watch: PhaseTimer) -> None:
        self.of: Callable[[str], contextlib.AbstractContextManager[object]] = watch.phase

    def __call__(self, name: str) -> contextlib.AbstractContextManager[object]:
        return self.of(name)


def _step_by_step(
    opened: Opened, sink: Sink, watch: PhaseTimer, clock: Callable[[], float]
) -> tuple[float, "dict[str, OpCost]"]:
    """Render with nothing overlapping; return the seconds until the first frames and a chunk's work by phase."""
    import torch

    from lingbot_cli.diagnostics.flops import CostByPhase

    prepared = opened.prepared
    phases = _PhaseHook(watch)
    began = clock()
    first_frame = 0.0
    session = replace(opened, phase=phases).begin(None)
    sink.open(prepared.info())
    for index, control in enumerate(prepared.controls):
        frames = session.decode(session.denoise(control))
        with watch.phase("transfer"):
            host = frames.cpu().numpy()
        if index == 0:
            first_frame = clock() - began
        with watch.phase("write"):
            sink.write(host[: control.frames])
        watch.end_chunk()
    sink.close()
    phases.of = counted = CostByPhase()
    with torch.compiler.set_stance("force_eager"):  # operations are counted, and compiled code shows none
        session.step(prepared.controls[-1])
    return first_frame, counted.phases


def result_rows(figures: BenchResult) -> list[tuple[str, str]]:
    """The figures as lines of a table: what, and how much."""
    share = sum(figures.phases.values()) / figures.chunk
    return [
        ("model", f"{figures.model}, {figures.size}, {figures.precision}, {figures.device}"),
        *([("levers", _options_text(figures.levers))] if figures.levers else []),
        *([("self-attention", figures.kernel)] if figures.kernel else []),
        ("CPU threads", f"{figures.threads}"),
        ("chunks measured", f"{figures.chunks}"),
        ("load", f"{figures.load:.2f} s"),
        ("first frame", f"{figures.first_frame:.2f} s"),
        *((phase, _phase_text(figures, phase)) for phase in PHASES),
        ("one chunk, step by step", f"{figures.chunk * 1000:.1f} ms, {share:.0%} of it in these phases"),
        ("as played", f"{figures.fps:.1f} fps, {figures.realtime:.2f}× real time"),
        ("sink alone, 832x480", f"{figures.sink_fps:.1f} fps, {figures.sink_fps / 16:.1f}× real time"),
        ("peak memory", size_text(figures.memory)),
        *([("peak device memory", size_text(figures.device_memory))] if figures.device_memory else []),
        ("a matrix product here", f"{figures.peak_flops / 1e12:.2f} TFLOP/s"),
        ("a copy here", f"{figures.peak_bytes / 1e9:.1f} GB/s"),
    ]


def _options_text(levers: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in levers.items()) or "none"


def _phase_text(figures: BenchResult, phase: str) -> str:
    seconds = figures.phases[phase]
    share = figures.roofline(phase)
    if share is None:
        return f"{seconds * 1000:.1f} ms"
    return (
        f"{seconds * 1000:.1f} ms · {figures.flops[phase] / seconds / 1e12:.2f} TFLOP/s · "
        f"{figures.bytes[phase] / seconds / 1e9:.1f} GB/s · {share:.0%} of the roofline"
    )


def compare_results(before: dict[str, object], after: dict[str, object]) -> list[tuple[str, str, str, str]]:
    """Two runs' figures side by side: what, before, after, and how many times faster the second is.

    Both as `--json` prints them.
    """
    lines: list[tuple[str, str, str, str]] = []
    said = [_options_text(figures.get("levers") or {}) for figures in (before, after)]  # type: ignore[arg-type]
    if any(text != "none" for text in said):
        lines.append(("levers", said[0], said[1], ""))
    for phase in PHASES:
        a, b = (float(figures["phases"][phase]) for figures in (before, after))  # type: ignore[index]
        lines.append((phase, f"{a * 1000:.1f} ms", f"{b * 1000:.1f} ms", _ratio(a, b)))
    for name, unit in (("first_frame", "s"), ("fps", "fps")):
        a, b = (float(figures[name]) for figures in (before, after))  # type: ignore[arg-type]
        faster = _ratio(a, b) if unit == "s" else _ratio(b, a)
        lines.append((name.replace("_", " "), f"{a:.2f} {unit}", f"{b:.2f} {unit}", faster))
    return lines


def _ratio(many: float, few: float) -> str:
    return f"{many / few:.2f}×" if few else "–"
