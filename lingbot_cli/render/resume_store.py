"""Resume store: the chunks of an unfinished render, saved in a folder beside its output."""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lingbot_cli import operating_system
from lingbot_cli.durable_writes import DurableWriter
from lingbot_cli.errors import LingbotError, UsageError, write_errors
from lingbot_cli.files import check_disk_space, check_folder, derived_path, follow_link
from lingbot_cli.render.chunk_plan import SavedChunks
from lingbot_cli.render.fingerprint import Fingerprint, fingerprint_difference
from lingbot_cli.render.pipeline import all_finite
from lingbot_cli.runtime.autotune import Tuning
from lingbot_cli.sinks.formats import is_sequence
from lingbot_cli.sinks.output_paths import sequence_folder

LOCK_TIMEOUT_S = 10.0
LOCK_POLL_INTERVAL_S = 0.1
_FINGERPRINT_FILE = "video.json"
_EARLIER_FINGERPRINT_FILE = "film.json"  # its name in earlier versions
_HASH_KEY = "latents"
_writer = DurableWriter()


@dataclass(frozen=True)
class ResumeStore:
    """A folder with `video.json`, the fingerprint of the render, `tuning.json`, and one file per chunk.

    Another tuning might change the last bits of the latents. A chunk's file holds its `latents`
    [16, c, h, w] float32, with its fingerprint as metadata. Each file is written whole or not at all, once.
    """

    folder: Path

    @classmethod
    def for_output(cls, output: str) -> "ResumeStore":
        """Return the store of an output: `walk.mp4.resume`; of an image sequence, beside its folder."""
        path = Path(output)
        if is_sequence(output):
            return cls(sequence_folder(path.absolute(), "resume"))
        return cls(derived_path(follow_link(path), ".resume"))

    @property
    def outputs(self) -> Path:
        """Folder of the outputs' own files for resuming."""
        return self.folder / "written"

    def count_chunks(self) -> int:
        """Return the number of saved chunks, from the first to the first gap."""
        count = 0
        while self.chunk_fingerprint(count) is not None:
            count += 1
        return count

    def chunk_fingerprint(self, index: int) -> Fingerprint | None:
        """Return a chunk's fingerprint; None for a missing or damaged file."""
        try:
            with safe_open(self._file(index), framework="numpy") as file:
                fingerprint = dict(file.metadata() or {})
        except (OSError, SafetensorError):
            return None
        fingerprint.pop(_HASH_KEY, None)
        return fingerprint

    def _is_intact(self, index: int) -> bool:
        """Return whether a chunk's latents are those that were saved."""
        try:
            with safe_open(self._file(index), framework="numpy") as file:
                saved = (file.metadata() or {}).get(_HASH_KEY)
                return bool(saved == _hash_latents(file.get_tensor("latents")))
        except (OSError, SafetensorError):
            return False

    def latents(self, index: int) -> np.ndarray:
        """Load a chunk's latents [16, c, h, w] float32. Errors: UsageError for NaN or infinite ones."""
        with safe_open(self._file(index), framework="numpy") as file:
            latents = file.get_tensor("latents")
        if not all_finite(latents):
            raise UsageError(
                f"cannot resume from {self.folder}: chunk {index + 1} has NaN or infinite latents",
                hint="use --overwrite without --resume to start over",
            )
        return latents

    def fingerprint(self) -> Fingerprint | None:
        """Return the fingerprint of the saved render; None without one."""
        return self._read(_FINGERPRINT_FILE) or self._read(_EARLIER_FINGERPRINT_FILE)

    def load(
        self, fingerprint: Fingerprint, chunks: Sequence[Fingerprint], *, fork: int | None = None
    ) -> SavedChunks | None:
        """Return the saved chunks that a render with these fingerprints can reuse; None without any.

        `fork`: index of the first chunk that may differ. Errors: UsageError with the difference.
        """
        before = self.fingerprint()
        if before is None:
            return None
        if changed := fingerprint_difference(before, fingerprint):
            raise UsageError(
                f"cannot resume from {self.folder}: rendered with other settings ({changed})",
                hint="restore them, or use --overwrite without --resume to start over",
            )
        count = min(self.count_chunks(), len(chunks) if fork is None else fork)
        count = next((index for index in range(count) if not self._is_intact(index)), count)
        for index in range(count):
            if changed := fingerprint_difference(self.chunk_fingerprint(index) or {}, chunks[index]):
                raise UsageError(
                    f"cannot resume from {self.folder}: chunk {index + 1} had other inputs ({changed})",
                    hint="use --fork-at with an earlier time to render again from there",
                )
        if count:
            self.latents(count - 1)  # a chunk that is not finite spoils every later one through the KV cache
        return SavedChunks(count, self.latents) if count else None

    def check_space(self, needed: int) -> None:
        """Raise OutputError unless chunks of so many bytes can be saved; nothing is written."""
        check_folder(self.folder.parent)
        check_disk_space(self.folder.parent, needed, "the latents saved until the video is complete")

    def tuning(self) -> Tuning | None:
        """Return the tuning of the saved render; None where it is unknown."""
        texts = self._read("tuning.json")
        try:
            return None if texts is None else Tuning.from_texts(texts)
        except (KeyError, ValueError, TypeError):
            return None

    def start(self, fingerprint: Fingerprint, keep: int, tuning: Tuning | None = None) -> None:
        """Save the fingerprint and the tuning of a new run, and remove all chunks after the first `keep`."""
        with write_errors(self.folder):
            self._write(_FINGERPRINT_FILE, json.dumps(dict(fingerprint), indent=1).encode())
            (self.folder / _EARLIER_FINGERPRINT_FILE).unlink(missing_ok=True)
            if tuning is not None:
                self._write("tuning.json", json.dumps(tuning.as_texts()).encode())
            for file in self.folder.glob("*.safetensors"):
                if file.stem.isdecimal() and int(file.stem) >= keep:
                    file.unlink()

    def save_chunk(self, index: int, latents: np.ndarray, fingerprint: Fingerprint) -> None:
        """Save a chunk; it is on the disk when this returns."""
        metadata = {**fingerprint, _HASH_KEY: _hash_latents(latents)}
        self._write(self._file(index).name, save({"latents": latents}, metadata))

    def clear(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear_unless_locked(self) -> None:
        """Remove the folder, unless a run has locked it or the disk refuses."""
        if self.folder.is_dir():
            with contextlib.suppress(LingbotError), self.locked():
                self.clear()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the output against other runs, waiting 10 s for one that is ending. Errors: UsageError."""
        check_folder(self.folder.parent)
        with write_errors(self.folder):
            lock = self._lock()
        try:
            yield
        finally:
            if not (_writer.hangs or self.count_chunks()):
                self.clear()
            lock.close()

    def _lock(self) -> BinaryIO:
        until = time.monotonic() + LOCK_TIMEOUT_S
        path = self.folder / "lock"
        while time.monotonic() < until:
            self.folder.mkdir(exist_ok=True)
            lock = path.open("ab")
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                operating_system.lock(lock)
                if os.fstat(lock.fileno()).st_ino == path.stat().st_ino:  # else the video was just completed
                    return lock
            lock.close()
            time.sleep(LOCK_POLL_INTERVAL_S)
        raise UsageError(f"{self.folder}: another run is rendering this video")

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:06d}.safetensors"

    def _read(self, name: str) -> Fingerprint | None:
        try:
            texts = json.loads((self.folder / name).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return texts if isinstance(texts, dict) else None

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        with write_errors(path):
            _writer.write(path, data)


def _hash_latents(latents: np.ndarray) -> str:
    """Return a hash of an array's type, shape and values."""
    kind = f"{latents.dtype} {latents.shape}".encode()
    return hashlib.sha256(kind + np.ascontiguousarray(latents).tobytes()).hexdigest()
