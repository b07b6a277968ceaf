"""What was measured on this machine, kept in the user's cache from run to run."""

import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from lingbot_cli.weights.store import cache_folder

MOST = 200


def measured(name: str, wanted: str) -> dict[str, dict[str, Any]]:
    """The entries of a cache file that have a `wanted` field; none of one that is unreadable or not ours."""
    try:
        known = json.loads((cache_folder() / name).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: each for key, each in known.items() if isinstance(each, dict) and wanted in each}


def keep_measured(name: str, known: Mapping[str, Any]) -> None:
    """Replace the file whole, with its latest entries; where it cannot be written, it is measured again."""
    folder = cache_folder()
    latest = dict(list(known.items())[-MOST:])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=name, delete=False) as new:
            json.dump(latest, new, indent=1)
        os.replace(new.name, folder / name)
    except OSError:
        return
