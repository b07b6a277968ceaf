"""How fast films were made on this machine, so that the next one's seconds are told before it starts."""

import json
import os
import platform
from dataclasses import asdict

from lingbot_cli.render.chunk_plan import SavedChunks
from lingbot_cli.render.fingerprint import render_fingerprint, short_hash
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.runtime.measurements import read_measurements, write_measurements
from lingbot_cli.ui.progress import RenderSpeed, duration_text

SPEEDS_FILE = "speeds.json"
MIN_MEASURED_CHUNKS = 3  # chunks, the first of which is warm-up
_NOT_SPEED = {"seed", "scale", "image"}


def last_speed(prepared: PreparedVideo) -> RenderSpeed | None:
    """How fast the last film of this model, size and settings was made here; None when there was none."""
    if prepared.request.remote is not None or prepared.first:
        return None
    found = read_measurements(SPEEDS_FILE, "fps").get(_speed_key(prepared))
    try:
        speed = RenderSpeed(**found) if found else None
        return speed if speed and speed.fps > 0 else None
    except TypeError:
        return None


def speed_line(prepared: PreparedVideo) -> str:
    """About how long a film will take, or what would tell."""
    speed = last_speed(prepared)
    if speed is None:
        return "how long it will take is not known: no such film was made here yet (`lingbot bench` measures)"
    seconds = duration_text(speed.seconds(prepared.plan.frames))
    return f"about {seconds} to make, at the {speed.fps:.1f} fps of the last such film here"


def save_speed(prepared: PreparedVideo, past: SavedChunks, speed: RenderSpeed) -> None:
    """Remember how fast a film was made, unless it is too short to tell or went on from an earlier run."""
    if prepared.first or past.chunks or len(prepared.controls) < MIN_MEASURED_CHUNKS:
        return
    known, kind = read_measurements(SPEEDS_FILE, "fps"), _speed_key(prepared)
    known.pop(kind, None)  # so that the latest stand last
    write_measurements(SPEEDS_FILE, known | {kind: asdict(speed)})


def _speed_key(prepared: PreparedVideo) -> str:
    """A short name for everything that a film's speed depends on, its encoding left out."""
    decides = {name: value for name, value in render_fingerprint(prepared).items() if name not in _NOT_SPEED}
    where = [platform.node(), os.environ.get("WORLD_SIZE", "1")]  # torchrun's count of processes
    return short_hash(json.dumps([where, decides, prepared.request.options.flags()]).encode())
