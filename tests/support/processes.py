"""Helpers for processes: exit, children, waiting with a limit."""

import contextlib
import threading
import time
from pathlib import Path


def has_exited(pid: int) -> bool:
    """Return whether a process has exited, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter if it exits during the read
        return True


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def wait_until(true, seconds=60):
    """Wait until `true()`; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextlib.contextmanager
def never_created(path: Path):
    """Assert that no file appears at `path` while the block runs."""
    over, seen = threading.Event(), []

    def watch():
        while not over.wait(0.002):
            if path.exists():
                seen.append(path)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert not seen
