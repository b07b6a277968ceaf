"""Hugging Face hub: listings of a repository at a revision, and resumable downloads of single files."""

import io
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from lingbot_cli.checkpoints.registry import HubSource, PublishedModel
from lingbot_cli.checkpoints.verify import ExpectedFile
from lingbot_cli.errors import SetupError, write_errors

LISTING_TIMEOUT_S = 3.0
OFFLINE_HINT = "go online, or copy the model's folder here and name it with --model DIR"


def listed_bytes(model: PublishedModel) -> int | None:
    """Return the bytes of a download by the hub's listing; None where that cannot be read within seconds."""
    try:
        return sum(file.size for source in model.sources for file in list_files(source, LISTING_TIMEOUT_S))
    except SetupError:
        return None


def list_files(source: HubSource, timeout_s: float | None = None) -> list[ExpectedFile]:
    """List a source's files with sizes and hashes, at its revision or else the newest.

    Errors: SetupError if the hub cannot be reached or has no such files.
    """
    from huggingface_hub import HfApi, constants, errors

    if constants.HF_HUB_OFFLINE:
        raise SetupError(f"cannot download {source.repository}: HF_HUB_OFFLINE is set", hint=OFFLINE_HINT)
    try:
        info = HfApi().model_info(
            source.repository, revision=source.revision, files_metadata=True, timeout=timeout_s
        )
    except errors.GatedRepoError as error:
        raise SetupError(
            f"{source.repository}: its terms must be accepted first",
            hint=f"accept them at https://huggingface.co/{source.repository}, then set HF_TOKEN",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise SetupError(
            f"the hub has no {source.repository} at {source.revision or 'its newest revision'}",
            hint="set HF_TOKEN if the repository is private or gated; else its publisher has moved it",
        ) from error
    except (errors.HfHubHTTPError, OSError, _transport_errors()) as error:
        raise _download_failed(source.repository, error) from error
    files = []
    for entry in info.siblings or []:
        if not any(fnmatch(entry.rfilename, pattern) for pattern in source.files):
            continue
        content = f"sha256:{entry.lfs.sha256}" if entry.lfs else f"git:{entry.blob_id}"
        path = f"{source.into}/{entry.rfilename}".lstrip("/")
        files.append(ExpectedFile(path, entry.size or 0, content, source.repository, info.sha or ""))
    if not files:
        raise SetupError(f"{source.repository} holds none of {', '.join(source.files)}")
    return files


def download_file(expected: ExpectedFile, into: str, target: Path, progress: Callable[[int], None]) -> None:
    """Download one file to `target`, resuming after the bytes already there.

    `into` is the subfolder of its source, which is part of the path. `progress` receives the bytes just written.
    Errors: SetupError; OutputError if the disk refuses them. Bytes downloaded so far stay for the next attempt.
    """
    from huggingface_hub import errors, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars

    disable_progress_bars()
    path = expected.path.removeprefix(f"{into}/") if into else expected.path
    have = target.stat().st_size if target.is_file() else 0
    if have > expected.size:
        target.unlink()
        have = 0
    with write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = _CountingFile(target, progress)
    try:
        with file:
            file.seek(have)
            http_get(
                hf_hub_url(expected.repository, path, revision=expected.revision),
                file,
                resume_size=have,
                headers=build_hf_headers(library_name="lingbot") | {"Accept-Encoding": "identity"},
                expected_size=expected.size,
                displayed_filename=expected.path,
            )
    except (errors.HfHubHTTPError, OSError, _transport_errors()) as error:
        raise _download_failed(f"{expected.repository}/{path}", error) from error


class _CountingFile(io.FileIO):
    """A file that reports the number of bytes of every write."""

    def __init__(self, path: Path, progress: Callable[[int], None]) -> None:
        super().__init__(path, "r+" if path.exists() else "w+")
        self._path, self._progress = path, progress

    def write(self, data: bytes) -> int:  # type: ignore[override]
        view = memoryview(data)
        with write_errors(self._path):
            while view:  # an unbuffered write may be partial
                view = view[super().write(view) :]
        self._progress(len(data))
        return len(data)


def _transport_errors() -> type[Exception]:
    """Return the exception that the hub's library raises for failed connections; it depends on its HTTP client."""
    from huggingface_hub.errors import HfHubHTTPError

    base = HfHubHTTPError.__mro__[1]
    return base if issubclass(base, Exception) else OSError


def _download_failed(name: str, error: Exception) -> SetupError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return SetupError(
        f"cannot download {name}: {reason}", hint="try again: the download continues where it stopped"
    )
