"""Measurements of this machine, cached between runs."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lingbot_cli.checkpoints.cache_dir import cache_folder
from lingbot_cli.errors import OutputError
from lingbot_cli.files import write_file

T = TypeVar("T")
MAX_ENTRIES = 200
MIN_SPEEDUP = 1.1
"""Speed-up over a default from which another choice is used; less may be noise."""


def read_measurements(name: str, wanted: str) -> dict[str, dict[str, Any]]:
    """Return the entries of a cache file that have a `wanted` field; none of an unreadable file."""
    try:
        known = json.loads((cache_folder() / name).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: each for key, each in known.items() if isinstance(each, dict) and wanted in each}


def measure_once(name: str, wanted: str, key: str, measure: Callable[[], dict[str, Any]]) -> Any:
    """Return the `wanted` field of an entry, measured if missing; `key` names everything it depends on."""
    known = read_measurements(name, wanted)
    if key not in known:
        known[key] = measure()
        write_measurements(name, known)
    return known[key][wanted]


def fastest(seconds: Mapping[T, float], default: T) -> T:
    """Return the choice of the shortest time; the default unless another is faster by more than noise."""
    best = min(seconds, key=seconds.__getitem__, default=default)
    return best if seconds.get(best, 0.0) * MIN_SPEEDUP < seconds.get(default, float("inf")) else default


def write_measurements(name: str, known: Mapping[str, Any]) -> None:
    """Write the latest entries; a file that cannot be written is measured again next time."""
    latest = dict(list(known.items())[-MAX_ENTRIES:])
    with contextlib.suppress(OSError, OutputError):
        write_file(cache_folder() / name, json.dumps(latest, indent=1), make_folder=True)


def processor_id() -> str:
    """Return an id of the processor model; several machines may share a cache folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "cpu"
    model = {line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "flags"))}
    return "cpu " + hashlib.sha256("".join(sorted(model)).encode()).hexdigest()[:8]
