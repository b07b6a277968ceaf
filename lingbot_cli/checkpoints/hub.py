"""The hub: what a repository holds at a revision, and its files, each from where the last try ended."""

import io
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from lingbot_cli.checkpoints.registry import HubSource
from lingbot_cli.checkpoints.verify import ExpectedFile
from lingbot_cli.errors import SetupError, write_errors

OFFLINE_HINT = "Go online, or copy the model's folder here and name it with --model DIR."


def list_files(source: HubSource) -> list[ExpectedFile]:
    """The files of a source with their sizes and hashes, at its revision or, without one, the newest.

    Errors: SetupError when the hub cannot be asked or has no such files.
    """
    from huggingface_hub import HfApi, constants, errors

    if constants.HF_HUB_OFFLINE:
        raise SetupError(f"{source.repository} cannot be fetched: HF_HUB_OFFLINE is set.", hint=OFFLINE_HINT)
    try:
        info = HfApi().model_info(source.repository, revision=source.revision, files_metadata=True)
    except errors.GatedRepoError as problem:
        raise SetupError(
            f"{source.repository} asks you to accept its terms first.",
            hint=f"Do so at https://huggingface.co/{source.repository}, then set HF_TOKEN.",
        ) from problem
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as problem:
        raise SetupError(
            f"The hub has no {source.repository} at {source.revision or 'its newest revision'}.",
            hint="A private or gated repository needs HF_TOKEN; else the publisher has moved it.",
        ) from problem
    except (errors.HfHubHTTPError, OSError, _transport_errors()) as problem:
        raise _unreachable(source.repository, problem) from problem
    files = []
    for entry in info.siblings or []:
        if not any(fnmatch(entry.rfilename, pattern) for pattern in source.files):
            continue
        content = f"sha256:{entry.lfs.sha256}" if entry.lfs else f"git:{entry.blob_id}"
        path = f"{source.into}/{entry.rfilename}".lstrip("/")
        files.append(ExpectedFile(path, entry.size or 0, content, source.repository, info.sha or ""))
    if not files:
        raise SetupError(f"{source.repository} holds none of {', '.join(source.files)}.")
    return files


def download_file(known: ExpectedFile, into: str, target: Path, progress: Callable[[int], None]) -> None:
    """Fetch one file to `target`, going on after the bytes that lie there.

    `into` is what its source put before the path. `progress` is told the bytes just written.
    Errors: SetupError; OutputError when the disk refuses them; the bytes fetched so far stay for the next try.
    """
    from huggingface_hub import errors, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars

    disable_progress_bars()
    path = known.path.removeprefix(f"{into}/") if into else known.path
    have = target.stat().st_size if target.is_file() else 0
    if have > known.size:
        target.unlink()
        have = 0
    with write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = _CountingFile(target, progress)
    try:
        with file:
            file.seek(have)
            http_get(
                hf_hub_url(known.repository, path, revision=known.revision),
                file,
                resume_size=have,
                headers=build_hf_headers(library_name="lingbot") | {"Accept-Encoding": "identity"},
                expected_size=known.size,
                displayed_filename=known.path,
            )
    except (errors.HfHubHTTPError, OSError, _transport_errors()) as problem:
        raise _unreachable(f"{known.repository}/{path}", problem) from problem


class _CountingFile(io.FileIO):
    """A file that tells how much is written to it."""

    def __init__(self, path: Path, progress: Callable[[int], None]) -> None:
        super().__init__(path, "r+" if path.exists() else "w+")
        self._path, self._progress = path, progress

    def write(self, data: bytes) -> int:  # type: ignore[override]
        view = memoryview(data)
        with write_errors(self._path):
            while view:  # an unbuffered write may take a part
                view = view[super().write(view) :]
        self._progress(len(data))
        return len(data)


def _transport_errors() -> type[Exception]:
    """What the hub's library raises when a connection fails; the library has changed its HTTP client."""
    from huggingface_hub.errors import HfHubHTTPError

    base = HfHubHTTPError.__mro__[1]
    return base if issubclass(base, Exception) else OSError


def _unreachable(what: str, problem: Exception) -> SetupError:
    first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
    return SetupError(f"{what} could not be fetched: {first}", hint="Try again: what is here is kept.")
