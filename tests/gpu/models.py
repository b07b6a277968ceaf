"""Measurements of whole models of random weights: phases, speed as played, memory, offload and sessions."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from lingbot_cli.control import Control
from lingbot_cli.diagnostics.parity import replay
from lingbot_cli.diagnostics.timers import PhaseTimer, warm_up_chunks
from lingbot_cli.model.accel.offload import HostBlocks, StreamedBlocks, offload
from lingbot_cli.model.accel.torch_compile import compile_blocks, should_compile
from lingbot_cli.model.accel.vae_format import FORMATS
from lingbot_cli.model.loading.random_weights import random_model
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.presets import Preset
from lingbot_cli.render.chunk_plan import new_tasks
from lingbot_cli.render.pipeline import RenderedChunk, run_pipeline
from lingbot_cli.runtime.autotune import Tuning, apply_tuning, choose_tuning, pick_vae_format
from lingbot_cli.runtime.memory import MemorySetup, estimate_memory
from lingbot_cli.runtime.model_options import (
    ModelOptions,
    apply_options,
    pick_decoder_precision,
    pick_precision,
)
from lingbot_cli.sinks.base import NullSink
from tests.gpu.sizes import Bench, controls, denoised, relative_error, render_serially

PHASES = ("encode", "denoise", "commit", "decode", "transfer")
OFFLOADED_LAYERS = 6


def parity(bench: Bench, case: Path) -> dict[str, object]:
    """Replay a recorded case in float32; return each tensor's largest error."""
    found = replay(case, case.parent.parent, bench.device, torch.float32)
    errors = {each.name: {"error": each.error, "tolerance": each.tolerance} for each in found}
    return {"holds": all(each.holds for each in found), "tensors": errors}


def offload_equals_resident(bench: Bench) -> dict[str, object]:
    """Compare the latents of a model in device memory with those of the same weights in host memory."""
    small = bench.sizes.small
    preset = replace(small, layers=min(small.layers, OFFLOADED_LAYERS))
    model = bench.model(preset)
    walked = controls(3, preset.chunk)
    began = perf_counter()
    resident = denoised(bench.session(model), walked)
    resident_s = perf_counter() - began
    host = HostBlocks(model.transformer, bench.device)
    for name, parameter in model.transformer.named_parameters():
        if (target := host.tensor(name)) is not None:
            target.copy_(parameter)
    offload(model.transformer, host, bench.device)
    began = perf_counter()
    streamed = denoised(bench.session(model), walked)
    blocks = model.transformer.blocks
    assert isinstance(blocks, StreamedBlocks)
    return {
        "holds": torch.equal(resident, streamed),
        "resident_s": resident_s,
        "offloaded_s": perf_counter() - began,
        "copied_blocks": blocks.copies,
        "bytes": sum(layout.size for layout in host.layouts),
    }


def streams(bench: Bench) -> dict[str, object]:
    """Compare decoding beside the denoising with decoding after it: seconds a chunk, and the frames."""
    model = bench.model()
    walked = controls(2 + bench.sizes.chunks, model.preset.chunk)
    render_serially(bench.session(model), walked[:2])
    began = perf_counter()
    latents, frames = render_serially(bench.session(model), walked)
    serial_s = perf_counter() - began
    one_by_one = render_serially(bench.session(model, decode_batch=1), walked)[1]
    began = perf_counter()
    shown = _rendered(bench, model, walked)
    beside_s = perf_counter() - began
    return {
        "holds": np.array_equal(shown, frames),
        "serial_s": serial_s / len(walked),
        "beside_s": beside_s / len(walked),
        "one_by_one_levels": int(np.abs(one_by_one.astype(int) - frames).max()),
        "latents_spread": float(latents.std()),
    }


def whole_model(bench: Bench, preset: Preset, options: ModelOptions) -> dict[str, object]:
    """Measure a model of random weights as it is played: load, compile, phases, speed, memory, a recache."""
    began = perf_counter()
    options = replace(options, device=str(bench.device), threads=torch.get_num_threads())
    checkpoint = apply_options(bench.checkpoint(preset), options)
    model = random_model(checkpoint, options)
    tuning = choose_tuning(checkpoint, options, bench.sizes.height, bench.sizes.width)
    model = apply_tuning(model, tuning)
    load_s = perf_counter() - began
    compiled = compile_and_compare(bench, model) if should_compile(bench.compile, str(bench.device)) else {}
    bench.forget_peaks()
    skip = warm_up_chunks(preset)
    walked = controls(skip + bench.sizes.chunks, preset.chunk)
    phases = _phases(bench, model, walked, skip)
    speed = _fps(bench, model, walked, skip)
    estimate = estimate_memory(preset, _memory_setup(bench, options, len(walked) * preset.chunk))
    return {
        "load_s": load_s,
        **compiled,
        **tuning.as_texts(),
        "steps": checkpoint.preset.steps,
        **phases,
        "fps": speed,
        "realtime": speed / preset.fps,
        "reserved_bytes": bench.reserved(),
        "estimated_bytes": estimate.peak - estimate.runtime,
        "estimate": asdict(estimate),
        "recache": _recache(bench, model, walked[: skip + 1]),
    }


def vae_format_switch(bench: Bench) -> dict[str, object]:
    """Render with the VAE in either format as `--vae-format` does; name the one that a measurement chooses."""
    checkpoint, options = bench.checkpoint(bench.sizes.small), ModelOptions(device=str(bench.device))
    size = bench.sizes.height, bench.sizes.width
    chosen = pick_vae_format(checkpoint, options, *size)
    model, found, videos = bench.model(), {}, []
    walked = controls(1 + bench.sizes.chunks, model.preset.chunk)
    for name in FORMATS:
        tuned = apply_tuning(model, Tuning(None, torch.get_num_threads(), name))
        render_serially(bench.session(tuned), walked[:1])
        began = perf_counter()
        videos.append(render_serially(bench.session(tuned), walked)[1].astype(int))
        found[name] = {"s": perf_counter() - began}
    levels = int(np.abs(videos[0] - videos[1]).max())
    return {"chosen": chosen, "levels": levels, **found}


def sessions_in_turn(bench: Bench) -> dict[str, object]:
    """Compare two sessions that take turns on one model with each of them alone."""
    model = bench.model()
    walked = controls(1 + bench.sizes.chunks, model.preset.chunk)
    denoised(bench.session(model), walked[:2])
    began = perf_counter()
    alone = [denoised(bench.session(model, seed=seed), walked) for seed in (1, 2)]
    alone_s = perf_counter() - began
    pair = [bench.session(model, seed=seed) for seed in (1, 2)]
    began = perf_counter()
    turns = [[session.denoise(control).cpu() for session in pair] for control in walked]
    in_turn_s = perf_counter() - began
    equal = all(
        torch.equal(torch.cat([turn[place] for turn in turns], dim=1), alone[place]) for place in (0, 1)
    )
    count = 2 * len(walked)
    return {
        "holds": equal,
        "alone_s": alone_s / count,
        "in_turn_s": in_turn_s / count,
        "reserved_bytes": bench.reserved(),
    }


def compile_and_compare(bench: Bench, model: WorldModel) -> dict[str, object]:
    """Compile the blocks; return the seconds, and the difference of a chunk's latents from eager ones."""
    walked = controls(1, model.preset.chunk)
    eager = denoised(bench.session(model), walked)
    began = perf_counter()
    compile_blocks(model, bench.sizes.tokens)
    compile_s = perf_counter() - began
    error = relative_error(denoised(bench.session(model), walked), eager)
    return {"compile_s": compile_s, "compiled_error": error, "holds": error < 0.05}


def _phases(bench: Bench, model: WorldModel, walked: Sequence[Control], skip: int) -> dict[str, object]:
    """Return the milliseconds of each phase of a chunk at a full window, without overlap."""
    timer = PhaseTimer(bench.timer())
    session = bench.session(model, phase=timer.phase)
    began, first = perf_counter(), 0.0
    for control in walked:
        frames = session.decode(session.denoise(control))
        with timer.phase("transfer"):
            frames.cpu()
        first = first or perf_counter() - began
        timer.end_chunk()
    milliseconds = {name: 1000 * seconds for name, seconds in timer.means(PHASES, skip).items()}
    return {"first_frame_s": first, "phases_ms": milliseconds, "chunk_ms": 1000 * timer.mean_chunk(skip)}


def _fps(bench: Bench, model: WorldModel, walked: Sequence[Control], skip: int) -> float:
    """Return the frames a second of a render into nothing, after `skip` chunks."""
    written: list[tuple[float, int]] = []
    _run(bench, model, walked, lambda chunk: written.append((perf_counter(), len(chunk.frames))))
    (start, _), *rest = written[skip - 1 :]
    return sum(frames for _, frames in rest) / (rest[-1][0] - start)


def _rendered(bench: Bench, model: WorldModel, walked: Sequence[Control]) -> np.ndarray:
    """Return the frames of the render pipeline."""
    parts: list[np.ndarray] = []
    _run(bench, model, walked, lambda chunk: parts.append(np.array(chunk.frames)))
    return np.concatenate(parts)


def _run(
    bench: Bench, model: WorldModel, walked: Sequence[Control], on_chunk: Callable[[RenderedChunk], None]
) -> None:
    tasks = new_tasks(walked)
    run_pipeline(tasks, lambda _: bench.session(model), NullSink(), stopped=lambda: False, on_chunk=on_chunk)


def _recache(bench: Bench, model: WorldModel, walked: Sequence[Control]) -> dict[str, object]:
    """Return the time and the additional memory of a chunk that rebuilds the KV cache under a new prompt."""
    session = bench.session(model)
    denoised(session, walked)
    before = bench.reserved()
    began = perf_counter()
    session.denoise(replace(walked[-1], prompt="rain at dusk", recache=True)).cpu()
    after = bench.reserved()
    more = None if before is None or after is None else after - before
    return {"chunk_s": perf_counter() - began, "more_reserved_bytes": more}


def _memory_setup(bench: Bench, options: ModelOptions, latents: int) -> MemorySetup:
    kind = bench.device.type
    return MemorySetup(
        bench.sizes.height,
        bench.sizes.width,
        kind,
        pick_precision(False, kind, options.precision),
        pick_decoder_precision(kind, None, options.decode),
        linears=options.linears,
        kv_cache=options.kv_cache,
        latents=latents,
        read_prompts=False,
    )
