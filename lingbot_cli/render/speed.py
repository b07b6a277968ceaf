"""How fast films were made on this machine, so that the next one's seconds are told before it starts."""

import json
import os
import platform
from dataclasses import asdict

from lingbot_cli.render.chunk_plan import Past
from lingbot_cli.render.fingerprint import digest, facts
from lingbot_cli.render.request import Prepared
from lingbot_cli.runtime.measurements import keep_measured, measured
from lingbot_cli.ui.progress import RenderSpeed, duration_text

FILE = "speeds.json"
LEAST = 3  # chunks, the first of which is warm-up
_OF_THE_FILM = {"seed", "scale", "image"}


def speed_of(prepared: Prepared) -> RenderSpeed | None:
    """How fast the last film of this model, size and settings was made here; None when there was none."""
    if prepared.request.remote is not None or prepared.first:
        return None
    found = measured(FILE, "fps").get(_kind(prepared))
    try:
        speed = RenderSpeed(**found) if found else None
        return speed if speed and speed.fps > 0 else None
    except TypeError:
        return None


def speed_line(prepared: Prepared) -> str:
    """About how long a film will take, or what would tell."""
    speed = speed_of(prepared)
    if speed is None:
        return "how long it will take is not known: no such film was made here yet (`lingbot bench` measures)"
    seconds = duration_text(speed.seconds(prepared.plan.frames))
    return f"about {seconds} to make, at the {speed.fps:.1f} fps of the last such film here"


def keep_speed(prepared: Prepared, past: Past, speed: RenderSpeed) -> None:
    """Remember how fast a film was made, unless it is too short to tell or went on from an earlier run."""
    if prepared.first or past.chunks or len(prepared.controls) < LEAST:
        return
    known, kind = measured(FILE, "fps"), _kind(prepared)
    known.pop(kind, None)  # so that the latest stand last
    keep_measured(FILE, known | {kind: asdict(speed)})


def _kind(prepared: Prepared) -> str:
    """A short name for everything that a film's speed depends on, its encoding left out."""
    decides = {name: value for name, value in facts(prepared).items() if name not in _OF_THE_FILM}
    where = [platform.node(), os.environ.get("WORLD_SIZE", "1")]  # torchrun's count of processes
    return digest(json.dumps([where, decides, prepared.request.options.flags()]).encode())
