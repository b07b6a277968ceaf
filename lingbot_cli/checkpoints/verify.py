"""Verification of downloaded files against their publisher's sizes and hashes."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from lingbot_cli.checkpoints.headers import read_json
from lingbot_cli.errors import SetupError
from lingbot_cli.files import write_file

RECORD_FILE = "files.json"
READ_BYTES = 8 * 2**20


@dataclass(frozen=True)
class ExpectedFile:
    """A file as published: `path` under the model's folder, size in bytes and the hub's hash.

    `hash` is `sha256:…` of the content for large files, `git:…` (git's blob name) for small ones.
    """

    path: str
    size: int
    hash: str
    repository: str = ""
    revision: str = ""


def find_mismatch(
    file: Path, expected: ExpectedFile, progress: Callable[[int], None] = lambda _: None
) -> str | None:
    """Describe how a file differs from the published one; None if it does not.

    `progress` receives the number of bytes just read.
    """
    if not file.is_file():
        return "is missing"
    size = file.stat().st_size
    if size != expected.size:
        return f"has {size:,} bytes instead of {expected.size:,}"
    kind, _, wanted = expected.hash.partition(":")
    digest = hashlib.sha1(f"blob {size}\0".encode()) if kind == "git" else hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(READ_BYTES):
            digest.update(piece)
            progress(len(piece))
    return None if digest.hexdigest() == wanted else "has the right size but other content"


def write_record(folder: Path, files: list[ExpectedFile]) -> None:
    """Write the record of downloaded files into their folder."""
    text = json.dumps({"files": [asdict(file) for file in files]}, indent=1)
    write_file(folder / RECORD_FILE, text + "\n")


def expected_files(folder: Path) -> list[ExpectedFile]:
    """Return the published sizes and hashes of a folder's files, from our record or the hub tools' metadata.

    Empty if neither exists. Errors: SetupError for an unreadable record.
    """
    if (folder / RECORD_FILE).is_file():
        try:
            files = [ExpectedFile(**row) for row in read_json(folder / RECORD_FILE)["files"]]
        except (KeyError, TypeError) as error:
            raise SetupError(
                f"{folder / RECORD_FILE} cannot be read", hint="download the model again"
            ) from error
        for file in files:
            if PurePosixPath(file.path).is_absolute() or ".." in PurePosixPath(file.path).parts:
                raise SetupError(f"{folder / RECORD_FILE} names a file outside its folder: {file.path}")
        return files
    return [*_from_hub_cache(folder), *_from_hub_download(folder)]


def _from_hub_cache(folder: Path) -> list[ExpectedFile]:
    """Read hashes from the hub's cache, which names each blob by its hash."""
    files = []
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() and file.is_file() and file.resolve().parent.name == "blobs":
            files.append(_by_etag(file.relative_to(folder), file.stat().st_size, file.resolve().name))
    return files


def _from_hub_download(folder: Path) -> list[ExpectedFile]:
    """Read hashes from the `.metadata` files of `hf download --local-dir`: commit, hash and time, a line each."""
    metadata = folder / ".cache" / "huggingface" / "download"
    files = []
    for entry in sorted(metadata.rglob("*.metadata")):
        relative = entry.relative_to(metadata).with_suffix("")
        lines = entry.read_text(encoding="utf-8", errors="replace").splitlines()
        if len(lines) >= 2 and len(lines[1]) in (40, 64):
            size = (folder / relative).stat().st_size if (folder / relative).is_file() else 0
            files.append(_by_etag(relative, size, lines[1]))
    return files


def _by_etag(relative: Path, size: int, etag: str) -> ExpectedFile:
    return ExpectedFile(relative.as_posix(), size, f"{'sha256' if len(etag) == 64 else 'git'}:{etag}")
