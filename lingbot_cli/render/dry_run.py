"""Dry run of a render: the plan, its memory and its expected time, with nothing loaded and nothing written."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.plan import chunks_json, format_chunk_table
from lingbot_cli.render.chunk_plan import SavedChunks
from lingbot_cli.render.fingerprint import render_fingerprint, short_hash
from lingbot_cli.render.preflight import memory_setup, pick_device_name
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.runtime.autotune import read_measurements, write_measurements
from lingbot_cli.runtime.memory import MemoryEstimate, estimate_memory, gigabytes
from lingbot_cli.runtime.memory_check import CARDS_GB, CardFit, fit_cards
from lingbot_cli.ui.progress import RenderSpeed, duration_text

SPEEDS_FILE = "speeds.json"
MIN_MEASURED_CHUNKS = 3
"""The first chunk is warm-up."""
_NOT_SPEED = {"seed", "scale", "image"}
_PARTS = {
    "transformer": "transformer",
    "vae": "VAE",
    "keys_values": "KV cache",
    "state": "session state",
    "work": "workspace",
    "runtime": "Python and PyTorch, or a GPU context",
    "decoder": "decoder, on its own device",
    "text": "text encoder (released before the rest)",
    "host": "RAM beside the device",
}


def dry_run_lines(prepared: PreparedVideo, outputs: Sequence[str]) -> list[str]:
    """Return the plan as lines: video, chunks, memory by part, expected time and outputs."""
    return [
        prepared.summary(),
        "",
        *format_chunk_table(prepared.plan.chunks, prepared.plan.fps),
        *prepared.plan.camera_lines(),
        "",
        *_memory_lines(prepared),
        *_card_lines(prepared),
        _time_line(prepared),
        *(f"will write {name}" for name in outputs),
        *(f"note: {warning}" for warning in prepared.warnings),
    ]


def dry_run_json(prepared: PreparedVideo, outputs: Sequence[str]) -> dict[str, object]:
    """Return the plan as plain data."""
    device, memory = device_and_memory(prepared) or (None, None)
    speed = last_speed(prepared)
    return {
        "event": "dry_run",
        **asdict(prepared.plan),
        "chunks": chunks_json(prepared.plan.chunks),
        "speed_options": prepared.request.options.speed_options(),
        "device": device,
        "memory": memory and {**asdict(memory), "peak": memory.peak},
        "seconds": round(speed.seconds(prepared.plan.frames), 1) if speed else None,
        "cards": [asdict(fit) for fit in fits_on_cards(prepared)],
        "writes": list(outputs),
        "notes": prepared.warnings,
    }


def device_and_memory(prepared: PreparedVideo) -> tuple[str, MemoryEstimate] | None:
    """Return the device and its memory by part; None for a video that a server renders.

    Errors: SetupError for a device that is not there.
    """
    if prepared.request.remote is not None:
        return None
    device = pick_device_name(prepared.request.options.device)
    return device, estimate_memory(prepared.model.preset, memory_setup(prepared, device))


def last_speed(prepared: PreparedVideo) -> RenderSpeed | None:
    """Return the speed of the last video with this model, size and options on this machine; None without one."""
    if prepared.request.remote is not None or prepared.first_frame:
        return None
    found = read_measurements(SPEEDS_FILE, "fps").get(_speed_key(prepared))
    try:
        speed = RenderSpeed(**found) if found else None
        return speed if speed and speed.fps > 0 else None
    except TypeError:
        return None


def save_speed(prepared: PreparedVideo, saved: SavedChunks, speed: RenderSpeed) -> None:
    """Save the speed of a video, unless it was too short or resumed."""
    if prepared.first_frame or saved.chunks or len(prepared.controls) < MIN_MEASURED_CHUNKS:
        return
    known, key = read_measurements(SPEEDS_FILE, "fps"), _speed_key(prepared)
    known.pop(key, None)  # the latest entries are last
    write_measurements(SPEEDS_FILE, known | {key: asdict(speed)})


def _memory_lines(prepared: PreparedVideo) -> list[str]:
    found = device_and_memory(prepared)
    if found is None:
        return []
    device, memory = found
    parts = [(label, getattr(memory, part)) for part, label in _PARTS.items()]
    width = max(len(label) for label, _ in parts)
    return [
        f"memory on {device}: at most {gigabytes(memory.peak)} in this process",
        *(f"  {label.ljust(width)}  {gigabytes(count):>9}" for label, count in parts if count),
        "  not counted: ffmpeg, and the browser page of --preview",
        "",
    ]


def fits_on_cards(prepared: PreparedVideo) -> list[CardFit]:
    """Return the options with which a model that is not on this machine fits each size of graphics card."""
    if not isinstance(prepared.model, Checkpoint) or prepared.model.layout.kind != "absent":
        return []
    return fit_cards(prepared.model.preset, [memory_setup(prepared, "cuda")], CARDS_GB)


def _card_lines(prepared: PreparedVideo) -> list[str]:
    rows = [fit.row() for fit in fits_on_cards(prepared)]
    if not rows:
        return []
    width = max(len(flags) for _, _, flags, _, _ in rows)
    lines = [f"  {card:>5}  {flags:{width}}  {gpu:>8}  {ram:>8}" for card, _, flags, gpu, ram in rows]
    return ["options with which it fits a graphics card, and their memory there and in RAM:", *lines, ""]


def _time_line(prepared: PreparedVideo) -> str:
    speed = last_speed(prepared)
    if speed is None:
        return "time: unknown before the first such video on this machine (measure with `lingbot bench`)"
    seconds = speed.seconds(prepared.plan.frames)
    return (
        f"time: about {duration_text(seconds)}, {duration_text(speed.start)} of it to the first chunk, at the "
        f"{speed.fps:.1f} fps of the last such video on this machine"
    )


def _speed_key(prepared: PreparedVideo) -> str:
    """Return a short hash of everything that determines a video's speed but its encoding."""
    fingerprint = {k: value for k, value in render_fingerprint(prepared).items() if k not in _NOT_SPEED}
    machine = [platform.node(), os.environ.get("WORLD_SIZE", "1")]  # torchrun's number of processes
    return short_hash(json.dumps([machine, fingerprint, prepared.request.options.flags()]).encode())
