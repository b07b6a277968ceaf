"""Decoders by name: files of published smaller decoders on this machine."""

import os
from collections.abc import Iterable
from pathlib import Path

from lingbot_cli.checkpoints.cache_dir import cache_folder
from lingbot_cli.checkpoints.registry import DECODERS
from lingbot_cli.errors import SetupError, UsageError

SUFFIXES = (".safetensors", ".pth")


def decoders_folder() -> Path:
    """Return the folder of downloaded decoders."""
    return cache_folder() / "decoders"


def find_decoder(text: str, folders: Iterable[Path]) -> Path:
    """Return the file of a decoder, named by itself or by a decoder's name, in the given folders or the cache.

    Errors: UsageError for neither a file nor a known name, SetupError for a decoder that is not on this machine.
    """
    path = Path(os.path.expanduser(text))
    if path.is_file():
        return path
    if text not in DECODERS:
        raise UsageError(
            f"--decoder {text}: neither a file nor a known decoder",
            hint=f"use a file or {', '.join(DECODERS)}",
        )
    places = [*folders, decoders_folder()]
    files = [folder / f"{DECODERS[text]}{suffix}" for folder in places for suffix in SUFFIXES]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise SetupError(
            f"--decoder {text} is not on this machine",
            hint=f"run: lingbot models pull {text}, or name its file",
        )
    return found
