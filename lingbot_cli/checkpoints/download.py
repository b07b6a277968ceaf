"""Model downloads into a partial folder, which gets the model's name once every file is verified."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lingbot_cli import operating_system
from lingbot_cli.checkpoints.cache_dir import model_folder
from lingbot_cli.checkpoints.checkpoint import Checkpoint, read_checkpoint
from lingbot_cli.checkpoints.hub import download_file, list_files
from lingbot_cli.checkpoints.registry import (
    DECODER_REPOSITORY,
    DECODER_SUFFIXES,
    DECODERS,
    HubSource,
    PublishedModel,
    decoders_folder,
)
from lingbot_cli.checkpoints.verify import ExpectedFile, expected_files, find_mismatch, write_record
from lingbot_cli.errors import OutputError, SetupError, UsageError, write_errors


@dataclass(frozen=True)
class DownloadProgress:
    """Bytes done and in total, seconds since the start, and the current file."""

    done: int
    total: int
    seconds: float
    file: str


def download_model(
    model: PublishedModel, report: Callable[[DownloadProgress], None], revision: str | None = None
) -> Path:
    """Download a model's missing files, verify every byte, and return its folder.

    `revision` replaces that of the model's first source. Errors: SetupError for an unreachable hub or a wrong
    file; OutputError for a full disk. Finished bytes stay in the partial folder for the next attempt.
    """
    target = model_folder(model.name)
    if target.is_dir():
        return target
    partial = target.parent / ".partial" / model.name
    with write_errors(partial), _exclusive(partial):
        if not target.is_dir():  # else another download has just finished
            _download_all(_list_files(model, partial, revision), partial, report)
            partial.replace(target)
    return target


def check_installed_revision(model: PublishedModel, revision: str) -> None:
    """Refuse a revision that an installed model does not have. Errors: UsageError."""
    repository = model.sources[0].repository
    installed = {
        file.revision for file in expected_files(model_folder(model.name)) if file.repository == repository
    }
    if not any(each.startswith(revision) for each in installed):
        raise UsageError(
            f"--revision {revision}: {model.name} is installed at {', '.join(installed) or 'an unknown revision'}",
            hint=f"remove it first with `lingbot models rm {model.name}`",
        )


def download_decoder(name: str) -> Path:
    """Download a decoder by its name, verify every byte, and return its file. Errors: those of `download_model`."""
    folder = decoders_folder()
    source = HubSource(
        DECODER_REPOSITORY, None, tuple(f"{DECODERS[name]}{suffix}" for suffix in DECODER_SUFFIXES)
    )
    with write_errors(folder), _exclusive(folder / ".partial" / name):
        expected = max(list_files(source), key=lambda file: file.path.endswith(DECODER_SUFFIXES[0]))
        part = _download_verified(expected, "", folder / f"{expected.path}.part", lambda _: None)
        return part.replace(folder / expected.path)


def verify_checkpoint(
    folder: Path, assets: Path | None, progress: Callable[[int], None], preset: str | None = None
) -> tuple[Checkpoint, int]:
    """Return a folder's checkpoint and the number of files that match their publisher's hash.

    Errors: SetupError that names every differing file, or the checkpoint's own problem.
    """
    expected = expected_files(folder)
    wrong = [
        f"{file.path} {mismatch}"
        for file in expected
        if (mismatch := find_mismatch(folder / file.path, file, progress)) is not None
    ]
    if wrong:
        raise SetupError(
            f"{folder}: {'; '.join(wrong)}",
            hint="remove those files and download them again (`lingbot models rm`, then `lingbot models pull`)",
        )
    return read_checkpoint(folder, assets, preset), len(expected)


def _download_all(
    listed: list[tuple[HubSource, ExpectedFile]], partial: Path, report: Callable[[DownloadProgress], None]
) -> None:
    files = [file for _, file in listed]
    _check_space(files, partial)
    _remove_outdated(files, partial)
    write_record(partial, files)
    total = sum(file.size for file in files)
    done, started = 0, time.monotonic()
    for source, expected in listed:
        path = partial / expected.path
        mark = _verified_mark(path)

        def progress(count: int, file: ExpectedFile = expected) -> None:
            nonlocal done
            done += count
            report(DownloadProgress(done, total, time.monotonic() - started, file.path))

        if path.is_file() and mark.is_file():
            progress(expected.size)
            continue
        part = path.with_name(path.name + ".part")
        progress(part.stat().st_size if part.is_file() else 0)
        _download_verified(expected, source.into, part, progress).replace(path)
        mark.touch()
    read_checkpoint(partial, partial / "assets" if (partial / "assets").is_dir() else None, partial.name)
    for file in files:
        _verified_mark(partial / file.path).unlink()


def _download_verified(
    expected: ExpectedFile, into: str, part: Path, progress: Callable[[int], None]
) -> Path:
    """Download a file to `part` and return it. Errors: SetupError where its hash is not the publisher's."""
    download_file(expected, into, part, progress)
    if (mismatch := find_mismatch(part, expected)) is not None:
        part.unlink()
        raise SetupError(
            f"{expected.repository}: {expected.path} {mismatch}", hint="try again: the file was removed"
        )
    return part


@contextmanager
def _exclusive(partial: Path) -> Iterator[None]:
    """Lock a model's download. Errors: UsageError while another process holds it."""
    partial.mkdir(parents=True, exist_ok=True)
    with partial.with_name(f"{partial.name}.lock").open("ab") as lock:
        try:
            operating_system.lock(lock)
        except BlockingIOError:
            raise UsageError(
                f"another `lingbot models pull` is downloading {partial.name}", hint="wait until it ends"
            ) from None
        yield


def _list_files(
    model: PublishedModel, partial: Path, revision: str | None
) -> list[tuple[HubSource, ExpectedFile]]:
    """List the files to download, at the revisions of an unfinished earlier download if there is one."""
    earlier = {file.repository: file.revision for file in expected_files(partial)} if partial.is_dir() else {}
    listed = []
    for index, source in enumerate(model.sources):
        wanted = revision if index == 0 and revision else source.revision or earlier.get(source.repository)
        pinned = replace(source, revision=wanted)
        listed += [(pinned, file) for file in list_files(pinned)]
    return listed


def _check_space(files: list[ExpectedFile], partial: Path) -> None:
    have = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
    needed = sum(file.size for file in files) - have
    free = shutil.disk_usage(partial).free
    if needed > free:
        raise OutputError(
            f"download of {needed / 1e9:.1f} GB does not fit {partial}: {free / 1e9:.1f} GB free",
            hint="free some space, or set LINGBOT_CACHE_DIR to a larger disk",
        )


def _remove_outdated(files: list[ExpectedFile], partial: Path) -> None:
    """Remove files that an earlier download left from another revision."""
    earlier = {file.path: file.hash for file in expected_files(partial)}
    for expected in files:
        if earlier.get(expected.path, expected.hash) != expected.hash:
            path = partial / expected.path
            for file in (path, _verified_mark(path), path.with_name(path.name + ".part")):
                file.unlink(missing_ok=True)


def _verified_mark(file: Path) -> Path:
    return file.with_name(f".{file.name}.checked")
