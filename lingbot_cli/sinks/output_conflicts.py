"""Outputs that would write the same file: found before anything is written."""

import os
import stat
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from lingbot_cli.errors import UsageError
from lingbot_cli.files import find_stream, follow_link
from lingbot_cli.sinks.formats import is_sequence
from lingbot_cli.sinks.output_paths import sequence_folder


def check_distinct(targets: Iterable[str], *, option: str = "-o") -> None:
    """Raise UsageError if two outputs are the same file, stream or folder of images; `option` names them."""
    real_folder = lru_cache(os.path.realpath)  # a batch has many files in one folder
    names: dict[str, str] = {}
    for target in targets:
        place = _place(target, real_folder)
        if place is None:
            continue
        if place in names:
            same = "given twice" if names[place] == target else f"the same place as {option} {names[place]}"
            raise UsageError(f"{option} {target}: {same}", hint="leave one of them out")
        names[place] = target


def _place(target: str, real_folder: Callable[[Path], str]) -> str | None:
    """Return a text equal for outputs in the same place; None for a place that several can share."""
    if target == "null:":
        return target
    path = Path("/dev/stdout") if target == "-" else Path(target)
    if find_stream(path) is not None:
        return None if stat.S_ISCHR(path.stat().st_mode) else os.path.realpath(path)
    path = (
        sequence_folder(path.absolute(), "partial") if is_sequence(target) else follow_link(path.absolute())
    )
    return str(Path(real_folder(path.parent), path.name))
