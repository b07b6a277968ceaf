"""What `--dry-run` says: the whole plan of a film, with nothing loaded and nothing written."""

from collections.abc import Sequence
from dataclasses import asdict

from lingbot_cli.plan import listing
from lingbot_cli.run.request import Prepared
from lingbot_cli.run.speed import speed_line, speed_of
from lingbot_cli.weights.kept import all_kept
from lingbot_cli.weights.memory import Estimate, Setup, estimate, gigabytes
from lingbot_cli.weights.probe import free_gpus

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


def setup_of(prepared: Prepared, device: str, precision: str) -> Setup:
    """The choices of a film that decide its memory."""
    settings = prepared.request.settings
    return Setup(
        height=prepared.plan.height,
        width=prepared.plan.width,
        device=device,
        precision=precision,
        decode=settings.decode or ("float16" if device.startswith("cuda") else "float32"),
        text_on=settings.text_on or "cpu",
        offload=settings.offload,
        decode_on=settings.decode_on,
        latents=sum(len(control.poses) for control in prepared.controls),
        linears=settings.linears,
        read_prompts=not all_kept(prepared.prompts, prepared.checkpoint.text_identity),
    )


def memory_of(prepared: Prepared) -> tuple[str, Estimate]:
    """The device the film would run on, as far as can be told without torch, and its memory by part."""
    device = prepared.request.device or ("cuda" if free_gpus() else "cpu")
    usual = "bfloat16" if device.startswith("cuda") else "float32"
    precision = "fp8" if prepared.checkpoint.fp8 else prepared.request.precision or usual
    return device, estimate(prepared.checkpoint.preset, setup_of(prepared, device, precision))


def preview(prepared: Prepared, outputs: Sequence[str]) -> list[str]:
    """The plan as lines: the film, its chunks, its memory by part, and what will be written."""
    device, needed = memory_of(prepared)
    parts = [(label, getattr(needed, part)) for part, label in _PARTS.items()]
    wide = max(len(label) for label, _ in parts)
    return [
        prepared.summary(),
        "",
        *listing(prepared.plan.chunks, prepared.plan.fps),
        "",
        f"memory on {device}: {gigabytes(needed.peak)} at the most, in this process",
        *(f"  {label.ljust(wide)}  {gigabytes(count):>9}" for label, count in parts if count),
        "  ffmpeg's own and the page of --preview are not in it",
        "",
        speed_line(prepared),
        *(f"will write {name}" for name in outputs),
        *(f"note: {note}" for note in prepared.film.notes),
    ]


def preview_facts(prepared: Prepared, outputs: Sequence[str]) -> dict[str, object]:
    """The same as plain data."""
    device, needed = memory_of(prepared)
    planned = asdict(prepared.plan)
    chunks = [
        {**asdict(chunk), "cut": str(chunk.cut) if chunk.cut else None} for chunk in prepared.plan.chunks
    ]
    memory = {**asdict(needed), "peak": needed.peak}
    speed = speed_of(prepared)
    return {
        "event": "dry_run",
        **planned,
        "chunks": chunks,
        "levers": prepared.request.settings.levers(),
        "device": device,
        "memory": memory,
        "seconds": round(speed.seconds(prepared.plan.frames), 1) if speed else None,
        "writes": list(outputs),
    }
