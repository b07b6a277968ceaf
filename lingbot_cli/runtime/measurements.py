"""What was measured on this machine, kept in the user's cache from run to run."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lingbot_cli.checkpoints.cache_dir import cache_folder

MAX_ENTRIES = 200


def read_measurements(name: str, wanted: str) -> dict[str, dict[str, Any]]:
    """The entries of a cache file that have a `wanted` field; none of one that is unreadable or not ours."""
    try:
        known = json.loads((cache_folder() / name).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: each for key, each in known.items() if isinstance(each, dict) and wanted in each}


def measure_once(name: str, wanted: str, key: str, measure: Callable[[], dict[str, Any]]) -> Any:
    """The `wanted` field of the entry of a key that says all it depends on; measured where there is none."""
    known = read_measurements(name, wanted)
    if key not in known:
        known[key] = measure()
        write_measurements(name, known)
    return known[key][wanted]


def write_measurements(name: str, known: Mapping[str, Any]) -> None:
    """Replace the file whole, with its latest entries; where it cannot be written, it is measured again."""
    folder = cache_folder()
    latest = dict(list(known.items())[-MAX_ENTRIES:])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=name, delete=False) as new:
            json.dump(latest, new, indent=1)
        os.replace(new.name, folder / name)
    except OSError:
        return


def processor_id() -> str:
    """Which kind of processor this is; a folder may be shared by several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "cpu"
    model = {line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "flags"))}
    return "cpu " + hashlib.sha256("".join(sorted(model)).encode()).hexdigest()[:8]
