"""Whether files are, byte for byte, what their publisher has."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from lingbot_cli.checkpoints.headers import read_json
from lingbot_cli.errors import SetupError

RECORD_FILE = "files.json"
READ_BYTES = 8 * 2**20


@dataclass(frozen=True)
class ExpectedFile:
    """What a file must be: `path` under the model's folder, its size and its hash as the hub gives it.

    `hash` is `sha256:…` of the content for large files, `git:…` (git's blob name) for small ones.
    """

    path: str
    size: int
    hash: str
    repository: str = ""
    revision: str = ""


def find_mismatch(
    file: Path, known: ExpectedFile, progress: Callable[[int], None] = lambda _: None
) -> str | None:
    """Why a file is not the known one, or nothing. `progress` is told how many bytes were just read."""
    if not file.is_file():
        return "is missing"
    size = file.stat().st_size
    if size != known.size:
        return f"has {size:,} bytes and should have {known.size:,}"
    kind, _, wanted = known.hash.partition(":")
    digest = hashlib.sha1(f"blob {size}\0".encode()) if kind == "git" else hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(READ_BYTES):
            digest.update(piece)
            progress(len(piece))
    return None if digest.hexdigest() == wanted else "has the right size and another content"


def write_record(folder: Path, files: list[ExpectedFile]) -> None:
    """Keep what was fetched beside the files."""
    text = json.dumps({"files": [asdict(known) for known in files]}, indent=1)
    (folder / RECORD_FILE).write_text(text + "\n", encoding="utf-8")


def expected_files(folder: Path) -> list[ExpectedFile]:
    """What the files of a folder must be: from our own record, or from what the hub's tools left beside them.

    Empty when nothing tells. Errors: SetupError for a record that cannot be read.
    """
    if (folder / RECORD_FILE).is_file():
        try:
            files = [ExpectedFile(**row) for row in read_json(folder / RECORD_FILE)["files"]]
        except (KeyError, TypeError) as problem:
            raise SetupError(
                f"{folder / RECORD_FILE} cannot be read.", hint="Fetch the model again."
            ) from problem
        for known in files:
            if PurePosixPath(known.path).is_absolute() or ".." in PurePosixPath(known.path).parts:
                raise SetupError(f"{folder / RECORD_FILE} names a file outside its folder: {known.path}.")
        return files
    return [*_from_hub_cache(folder), *_from_hub_download(folder)]


def _from_hub_cache(folder: Path) -> list[ExpectedFile]:
    """The hub's cache names each blob by its hash."""
    files = []
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() and file.resolve().parent.name == "blobs" and file.is_file():
            files.append(_by_etag(file.relative_to(folder), file.stat().st_size, file.resolve().name))
    return files


def _from_hub_download(folder: Path) -> list[ExpectedFile]:
    """The hub's downloads into a folder leave one small note a file: its commit, its hash, the time."""
    notes = folder / ".cache" / "huggingface" / "download"
    files = []
    for note in sorted(notes.rglob("*.metadata")):
        relative = note.relative_to(notes).with_suffix("")
        lines = note.read_text(encoding="utf-8", errors="replace").splitlines()
        if len(lines) >= 2 and len(lines[1]) in (40, 64):
            size = (folder / relative).stat().st_size if (folder / relative).is_file() else 0
            files.append(_by_etag(relative, size, lines[1]))
    return files


def _by_etag(relative: Path, size: int, etag: str) -> ExpectedFile:
    return ExpectedFile(relative.as_posix(), size, f"{'sha256' if len(etag) == 64 else 'git'}:{etag}")
