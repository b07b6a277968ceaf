"""Where this machine keeps models and prompts' rows: one folder in the user's cache."""

import os
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """LINGBOT_CACHE_DIR, else `lingbot` in the XDG cache folder, else `~/.cache/lingbot`."""
    if own := environ.get("LINGBOT_CACHE_DIR"):
        return Path(os.path.expanduser(own))
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lingbot"


def model_folder(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where a fetched model lies, whether it is there or not; what lies there is whole."""
    return cache_folder(environ) / "models" / name
