"""Known models: files on this machine, size and memory."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.checkpoints.cache_dir import model_folder
from lingbot_cli.checkpoints.checkpoint import find_layout
from lingbot_cli.checkpoints.registry import PUBLISHED, PublishedModel
from lingbot_cli.errors import OutputError
from lingbot_cli.presets import PRESETS
from lingbot_cli.runtime.hardware import default_setup, free_memory
from lingbot_cli.runtime.memory import estimate_memory, gigabytes


@dataclass(frozen=True)
class ModelStatus:
    """A known model: bytes of its files (about, unless installed), and peak memory in bytes at its own size.

    `fits` compares the need with this machine's free memory.
    """

    name: str
    installed: bool
    folder: str | None
    bytes: int
    memory: int
    fits: bool
    licence: str

    def row(self) -> tuple[str, str, str, str, str]:
        """Return the cells of a table: name, installed, size, memory, fits."""
        installed, fits = ("yes" if flag else "no" for flag in (self.installed, self.fits))
        return self.name, installed, gigabytes(self.bytes), gigabytes(self.memory), fits


def model_statuses(
    environ: Mapping[str, str], sizes: Callable[[PublishedModel], int | None] = lambda _: None
) -> list[ModelStatus]:
    """Return the status of every model that has a name, the built-in one first.

    `sizes` returns the bytes of a download; after a None it is not asked again, and approximate ones are used.
    """
    models, readable = [], True
    for name in ("built-in", *PUBLISHED):
        preset = PRESETS[name]
        folder = find_layout(None).root if name == "built-in" else model_folder(name, environ)
        setup = default_setup(preset)
        needed = estimate_memory(preset, setup)
        free, free_host = free_memory(setup.device)
        size = folder_bytes(folder) if folder.is_dir() else None
        if size is None and readable:
            size = sizes(PUBLISHED[name])
            readable = size is not None
        models.append(
            ModelStatus(
                name=name,
                installed=folder.is_dir(),
                folder=str(folder) if folder.is_dir() else None,
                bytes=PUBLISHED[name].bytes if size is None else size,
                memory=needed.peak,
                fits=needed.peak <= free and needed.host <= free_host,
                licence=preset.licence,
            )
        )
    return models


def folder_bytes(folder: Path) -> int:
    """Return the total bytes of the files under a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def remove_model(name: str, environ: Mapping[str, str]) -> int | None:
    """Remove a fetched model and its partial downloads; return the bytes freed, None without files.

    Of a link only the link is removed. Errors: OutputError.
    """
    folder = model_folder(name, environ)
    places = [
        place for place in (folder, folder.parent / ".partial" / name) if place.is_symlink() or place.is_dir()
    ]
    freed = sum(folder_bytes(place) for place in places if not place.is_symlink())
    try:
        for place in places:
            if place.is_symlink():
                place.unlink()
            else:
                shutil.rmtree(place)
    except OSError as failure:
        raise OutputError(f"cannot remove {name}: {failure}") from failure
    return freed if places else None
