"""The chunks a run has committed, kept beside its film until it is whole, so that a crash costs one chunk."""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lingbot_cli.errors import LingbotError, UsageError, write_errors
from lingbot_cli.files import check_disk_space, check_folder
from lingbot_cli.render.chunk_plan import SavedChunks
from lingbot_cli.runtime.autotune import Tuning

Fingerprint = Mapping[str, str]
"""Named texts; two runs that share them make the same."""

LOCK_TIMEOUT_S = 10.0  # seconds a run that was killed gets to be gone


@dataclass(frozen=True)
class ResumeStore:
    """A folder beside the film: `film.json` says what decides its latents, then one file a chunk.

    `tuning.json` says by what they are computed; going on by something else might change their last bits.
    A chunk's file holds its `latents` [16, c, h, w] float32 and what it was told. Each is written whole or
    not at all, and none is written twice.
    """

    folder: Path

    @classmethod
    def beside(cls, film: str) -> "ResumeStore":
        """The trail of a film that will be called so: `walk.mp4.resume`; a sequence's lies beside its folder."""
        path = Path(film)
        path = path.absolute().parent if "%" in path.name else path
        return cls(path.with_name(f"{path.name}.resume"))

    @property
    def written(self) -> Path:
        """The folder where outputs keep what it takes to go on with them."""
        return self.folder / "written"

    def chunks(self) -> int:
        """How many chunks are here, without a gap, from the first."""
        count = 0
        while self.told(count) is not None:
            count += 1
        return count

    def told(self, index: int) -> Fingerprint | None:
        """What a chunk was told; None when it is not here or not whole."""
        try:
            with safe_open(self._file(index), framework="numpy") as kept:
                return dict(kept.metadata() or {})
        except (OSError, SafetensorError):
            return None

    def latents(self, index: int) -> np.ndarray:
        """A kept chunk's latents [16, c, h, w] float32."""
        with safe_open(self._file(index), framework="numpy") as kept:
            return kept.get_tensor("latents")

    def facts(self) -> Fingerprint | None:
        """What decided the latents here; None when there is nothing to go on from."""
        return self._read("film.json")

    def past(
        self, facts: Fingerprint, told: Sequence[Fingerprint], *, fork: int | None = None
    ) -> SavedChunks | None:
        """What can be taken up by a film of these facts and these chunks; None when nothing is here.

        `fork`: the first chunk that may differ from what was made; later ones are made anew. UsageError
        names what differs.
        """
        before = self.facts()
        if before is None:
            return None
        if differing := fingerprint_difference(before, facts):
            raise UsageError(
                f"{self.folder} was begun by another run: {differing}",
                hint="make it so again, or leave --resume out to begin anew",
            )
        count = min(self.chunks(), len(told) if fork is None else fork)
        for index in range(count):
            if differing := fingerprint_difference(self.told(index) or {}, told[index]):
                raise UsageError(
                    f"chunk {index + 1} of {self.folder} was told something else: {differing}",
                    hint="--fork-at with a time before it renders what follows anew",
                )
        return SavedChunks(count, self.latents) if count else None

    def check(self, needed: int) -> None:
        """Raise OutputError unless chunks of so many bytes can be kept here; nothing is written."""
        check_folder(self.folder.parent)
        check_disk_space(self.folder.parent, needed, "the latents kept until the film is whole")

    def tuning(self) -> Tuning | None:
        """By what the latents here were computed; None when that is not known."""
        said = self._read("tuning.json")
        try:
            return None if said is None else Tuning.of(said)
        except (KeyError, ValueError, TypeError):
            return None

    def begin(self, facts: Fingerprint, keep: int, tuning: Tuning | None = None) -> None:
        """Make ready to keep the chunks after the first `keep`; later ones that are here go."""
        with write_errors(self.folder):
            self._write("film.json", json.dumps(dict(facts), indent=1).encode())
            if tuning is not None:
                self._write("tuning.json", json.dumps(tuning.facts()).encode())
            for file in self.folder.glob("*.safetensors"):
                if int(file.stem) >= keep:
                    file.unlink()

    def keep(self, index: int, latents: np.ndarray, told: Fingerprint) -> None:
        """Keep one chunk; when this returns it is on the disk."""
        with write_errors(self.folder):
            self._write(self._file(index).name, save({"latents": latents}, dict(told)))

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove everything, unless a run holds the film or the disk refuses."""
        if self.folder.is_dir():
            with contextlib.suppress(LingbotError), self.alone():
                self.clear()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the film against every other run; one that was just killed gets a moment to be gone."""
        check_folder(self.folder.parent)
        with write_errors(self.folder):
            lock = self._lock()
        try:
            yield
        finally:
            if not self.chunks():  # nothing could be taken up from it
                self.clear()
            lock.close()

    def _lock(self) -> BinaryIO:
        until = time.monotonic() + LOCK_TIMEOUT_S
        path = self.folder / "lock"
        while time.monotonic() < until:
            self.folder.mkdir(exist_ok=True)
            lock = path.open("ab")
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock.fileno()).st_ino == path.stat().st_ino:  # else its film was just finished
                    return lock
            lock.close()
            time.sleep(0.1)
        raise UsageError(f"{self.folder}: another run is making this film")

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:06d}.safetensors"

    def _read(self, name: str) -> Fingerprint | None:
        try:
            said = json.loads((self.folder / name).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return said if isinstance(said, dict) else None

    def _write(self, name: str, data: bytes) -> None:
        fresh = self.folder / f".{name}.new"
        with fresh.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self.folder / name)


def fingerprint_difference(before: Fingerprint, now: Fingerprint) -> str:
    """What two sets of facts do not share, in words; empty when they are the same."""
    names = dict.fromkeys([*before, *now])
    return ", ".join(
        f"{name} was {before.get(name, 'not said')} and is {now.get(name, 'not said')}"
        for name in names
        if before.get(name) != now.get(name)
    )
