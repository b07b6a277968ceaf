"""Runner of steps in one process: each guarded and bounded in time, its record written to a JSON file at once."""

import faulthandler
import gc
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

import torch

GRACE_S = 10.0
"""Seconds after a step's limit until its process is replaced, as it is stuck outside Python."""
MIN_STEP_S = 5.0
"""Seconds without which no step is started."""
RUN_VARIABLE = "LINGBOT_GPU_RUN"
"""Environment variable of a replaced process: the run's end on the monotonic clock."""

Result = Mapping[str, object]


class StepTimeout(BaseException):
    """A step ran past its limit; no handler of other errors catches it."""


@dataclass(frozen=True)
class Step:
    """One step, its limit in seconds, and the function that returns its result."""

    name: str
    limit_s: float
    run: Callable[[], Result]


@dataclass
class Runner:
    """Runs steps that the file has no good record of, until the time `until` on the monotonic clock.

    A process that is stuck `grace_s` after a step's limit, or whose GPU fails, is replaced by a new one of the same
    command, which goes on with the next step. One that crashes leaves the step's record; the next call goes on.
    """

    file: Path
    until: float
    grace_s: float = GRACE_S
    records: dict[str, dict[str, object]] = field(default_factory=dict)

    @classmethod
    def open(cls, file: Path, seconds: float) -> "Runner":
        """Return a runner that goes on from a file's good records; a replaced process keeps all of its run."""
        end = os.environ.pop(RUN_VARIABLE, None)
        records = json.loads(file.read_text())["steps"] if file.is_file() else []
        for record in records:
            if record["status"] == "running":
                record |= {"status": "crashed", "error": "the process ended in this step"}
        final = ("done", "crashed")
        known = {record["step"]: record for record in records if end is not None or record["status"] in final}
        return cls(file, time.monotonic() + seconds if end is None else float(end), records=known)

    def run(self, steps: Sequence[Step]) -> bool:
        """Run the steps in order; return whether all of them succeeded and hold."""
        for number, step in enumerate(steps, 1):
            if step.name in self.records:
                continue
            self.records[step.name] = {"step": step.name, "status": "running"}
            self._write()
            self.records[step.name] = record = self._run_step(step)
            self._write()
            text = json.dumps(
                {key: value for key, value in record.items() if key not in ("step", "traceback")}
            )
            print(f"{number}/{len(steps)} {step.name}: {text[:2000]}", flush=True)
            if not _device_works():
                self._replace_process()
        records = [self.records[step.name] for step in steps]
        return all(record["status"] == "done" and record.get("holds", True) for record in records)

    def _run_step(self, step: Step) -> dict[str, object]:
        began = time.monotonic()
        left = self.until - began
        if left < MIN_STEP_S:
            return {"step": step.name, "status": "not run", "seconds": 0.0, "error": "no time left"}
        limit = min(step.limit_s, left)
        try:
            with self._bounded(step, limit), torch.inference_mode():
                found = {"status": "done", **step.run()}
        except StepTimeout:
            found = {"status": "timeout", "error": f"not finished within {limit:.0f} s"}
        except Exception as error:
            found = {
                "status": "failed",
                "error": f"{type(error).__name__}: {error}"[:500],
                "traceback": traceback.format_exc()[-3000:],
            }
        _free_memory()
        return {"step": step.name, "seconds": round(time.monotonic() - began, 2), **found}

    @contextmanager
    def _bounded(self, step: Step, limit: float) -> Iterator[None]:
        """Raise StepTimeout in the block at its limit; replace a process that does not come back from C code."""

        def stop(_signal: int, _frame: FrameType | None) -> None:
            raise StepTimeout

        def abandon() -> None:
            error = f"stuck outside Python: not finished within {limit:.0f} s"
            self.records[step.name] = {
                "step": step.name,
                "status": "timeout",
                "seconds": limit,
                "error": error,
            }
            self._write()
            print(f"{step.name}: {error}", flush=True)
            self._replace_process()

        previous = signal.signal(signal.SIGALRM, stop)
        guard = threading.Timer(limit + self.grace_s, abandon)
        guard.daemon = True
        guard.start()
        signal.setitimer(signal.ITIMER_REAL, limit)
        # The last resort: a call that is stuck with Python's lock lets no thread run.
        faulthandler.dump_traceback_later(limit + 2 * self.grace_s, exit=True)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
            guard.cancel()
            faulthandler.cancel_dump_traceback_later()

    def _replace_process(self) -> NoReturn:
        os.environ[RUN_VARIABLE] = str(self.until)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

    def _write(self) -> None:
        partial = self.file.with_name(f"{self.file.name}.partial")
        partial.write_text(json.dumps({"steps": list(self.records.values())}, indent=1) + "\n")
        partial.replace(self.file)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        with suppress(RuntimeError):  # `_device_works` finds a GPU that fails
            torch.cuda.empty_cache()


def _device_works() -> bool:
    """Return whether CUDA still answers: after some errors it fails until the process ends."""
    if not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.synchronize()
        torch.zeros(1, device="cuda")
    except RuntimeError:
        return False
    return True
