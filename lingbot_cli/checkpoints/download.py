"""Fetching a model: everything arrives in a folder of its own, and takes its name when it is whole."""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lingbot_cli.checkpoints.cache_dir import model_folder
from lingbot_cli.checkpoints.checkpoint import Checkpoint, read_checkpoint
from lingbot_cli.checkpoints.hub import download_file, list_files
from lingbot_cli.checkpoints.registry import HubSource, PublishedModel
from lingbot_cli.checkpoints.verify import ExpectedFile, expected_files, find_mismatch, write_record
from lingbot_cli.errors import OutputError, SetupError, UsageError, write_errors


@dataclass(frozen=True)
class DownloadProgress:
    """How far a pull is: bytes here, of how many, the seconds since it began, the file at hand."""

    done: int
    total: int
    seconds: float
    file: str


def download_model(
    model: PublishedModel, report: Callable[[DownloadProgress], None], revision: str | None = None
) -> Path:
    """Fetch what of a model is not here yet, check every byte, and return its folder.

    `revision` replaces that of the model's first source. Errors: SetupError for a hub that cannot be reached
    or a file that is not what the hub says; OutputError for a full disk. What was fetched stays for the next
    try, outside the models' own folders.
    """
    target = model_folder(model.name)
    if target.is_dir():
        return target
    partial = target.parent / ".partial" / model.name
    with write_errors(partial), _exclusive(partial):
        if not target.is_dir():  # else another pull has just brought it
            _download_all(_list_files(model, partial, revision), partial, report)
            partial.replace(target)
    return target


def _download_all(
    listed: list[tuple[HubSource, ExpectedFile]], partial: Path, report: Callable[[DownloadProgress], None]
) -> None:
    """Bring what is listed to `partial`, and hold all of it to its hashes."""
    files = [known for _, known in listed]
    _check_space(files, partial)
    _remove_outdated(files, partial)
    write_record(partial, files)
    total = sum(known.size for known in files)
    done, began = 0, time.monotonic()
    for source, known in listed:
        here = partial / known.path
        checked = _verified_mark(here)

        def progress(count: int, known: ExpectedFile = known) -> None:
            nonlocal done
            done += count
            report(DownloadProgress(done, total, time.monotonic() - began, known.path))

        if here.is_file() and checked.is_file():
            progress(known.size)
            continue
        part = here.with_name(here.name + ".part")
        progress(part.stat().st_size if part.is_file() else 0)
        download_file(known, source.into, part, progress)
        if (why := find_mismatch(part, known)) is not None:
            part.unlink()
            raise SetupError(f"{known.repository}: {known.path} {why}.", hint="It was removed; try again.")
        part.replace(here)
        checked.touch()
    read_checkpoint(partial, partial / "assets" if (partial / "assets").is_dir() else None)
    for known in files:
        _verified_mark(partial / known.path).unlink()


@contextmanager
def _exclusive(partial: Path) -> Iterator[None]:
    """Hold a fetch against every other of the same model. Errors: UsageError when another holds it."""
    partial.mkdir(parents=True, exist_ok=True)
    with partial.with_name(f"{partial.name}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another `lingbot models pull` is fetching {partial.name}", hint="wait for it to end"
            ) from None
        yield


def verify_checkpoint(
    folder: Path, assets: Path | None, progress: Callable[[int], None]
) -> tuple[Checkpoint, int]:
    """The checkpoint in a folder and how many files were held to their publisher's hash.

    Errors: SetupError naming every file that differs, or what of the checkpoint cannot be.
    """
    known = expected_files(folder)
    wrong = [
        f"{file.path} {why}" for file in known if (why := find_mismatch(folder / file.path, file, progress))
    ]
    if wrong:
        raise SetupError(
            f"{folder}: {'; '.join(wrong)}.",
            hint="Remove those files and fetch them again (`lingbot models rm`, then `lingbot models pull`).",
        )
    return read_checkpoint(folder, assets), len(known)


def _list_files(
    model: PublishedModel, partial: Path, revision: str | None
) -> list[tuple[HubSource, ExpectedFile]]:
    """What is to be fetched, at the revisions an earlier try began with where there was one."""
    begun = (
        {known.repository: known.revision for known in expected_files(partial)} if partial.is_dir() else {}
    )
    listed = []
    for place, source in enumerate(model.sources):
        wanted = revision if place == 0 and revision else source.revision or begun.get(source.repository)
        pinned = replace(source, revision=wanted)
        listed += [(pinned, known) for known in list_files(pinned)]
    return listed


def _check_space(files: list[ExpectedFile], partial: Path) -> None:
    have = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
    needed = sum(known.size for known in files) - have
    free = shutil.disk_usage(partial).free
    if needed > free:
        raise OutputError(
            f"{needed / 1e9:.1f} GB are to be fetched and {partial} has {free / 1e9:.1f} GB free.",
            hint="Free some space, or set LINGBOT_CACHE_DIR to a larger disk.",
        )


def _remove_outdated(files: list[ExpectedFile], partial: Path) -> None:
    """What an earlier try at another revision left must not stay."""
    earlier = {known.path: known.hash for known in expected_files(partial)}
    for known in files:
        if earlier.get(known.path, known.hash) != known.hash:
            here = partial / known.path
            for file in (here, _verified_mark(here), here.with_name(here.name + ".part")):
                file.unlink(missing_ok=True)


def _verified_mark(file: Path) -> Path:
    """The mark that a fetched file was held to its hash."""
    return file.with_name(f".{file.name}.checked")
