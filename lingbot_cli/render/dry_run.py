"""What `--dry-run` says: the whole plan of a film, with nothing loaded and nothing written."""

from collections.abc import Sequence
from dataclasses import asdict

from lingbot_cli.plan import format_chunk_table
from lingbot_cli.render.memory import memory_setup, pick_device_name
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.render.speed import last_speed, speed_line
from lingbot_cli.runtime.memory import MemoryEstimate, estimate_memory, gigabytes

_PARTS = {
    "transformer": "transformer",
    "vae": "VAE",
    "keys_values": "keys and values of the window",
    "state": "state of the session",
    "work": "work space",
    "runtime": "Python and PyTorch, or a GPU's context",
    "decoder": "to decode, on its own device",
    "text": "text encoder (gone before the rest)",
    "host": "in RAM beside the device",
}


def device_and_memory(prepared: PreparedVideo) -> tuple[str, MemoryEstimate] | None:
    """The device the film would run on and its memory by part; None for one that is made elsewhere.

    Errors: SetupError for a device that is not there.
    """
    if prepared.request.remote is not None:
        return None
    device = pick_device_name(prepared.request.options.device)
    return device, estimate_memory(prepared.checkpoint.preset, memory_setup(prepared, device))


def dry_run_lines(prepared: PreparedVideo, outputs: Sequence[str]) -> list[str]:
    """The plan as lines: the film, its chunks, its memory by part, and what will be written."""
    return [
        prepared.summary(),
        "",
        *format_chunk_table(prepared.plan.chunks, prepared.plan.fps),
        "",
        *_memory(prepared),
        speed_line(prepared),
        *(f"will write {name}" for name in outputs),
        *(f"note: {note}" for note in prepared.film.warnings),
    ]


def _memory(prepared: PreparedVideo) -> list[str]:
    found = device_and_memory(prepared)
    if found is None:
        return []
    device, needed = found
    parts = [(label, getattr(needed, part)) for part, label in _PARTS.items()]
    wide = max(len(label) for label, _ in parts)
    return [
        f"memory on {device}: {gigabytes(needed.peak)} at the most, in this process",
        *(f"  {label.ljust(wide)}  {gigabytes(count):>9}" for label, count in parts if count),
        "  ffmpeg's own and the page of --preview are not in it",
        "",
    ]


def dry_run_json(prepared: PreparedVideo, outputs: Sequence[str]) -> dict[str, object]:
    """The same as plain data."""
    device, needed = device_and_memory(prepared) or (None, None)
    planned = asdict(prepared.plan)
    chunks = [
        {**asdict(chunk), "cut": str(chunk.cut) if chunk.cut else None} for chunk in prepared.plan.chunks
    ]
    memory = needed and {**asdict(needed), "peak": needed.peak}
    speed = last_speed(prepared)
    return {
        "event": "dry_run",
        **planned,
        "chunks": chunks,
        "levers": prepared.request.options.speed_options(),
        "device": device,
        "memory": memory,
        "seconds": round(speed.seconds(prepared.plan.frames), 1) if speed else None,
        "writes": list(outputs),
    }
