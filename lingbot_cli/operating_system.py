"""Calls that differ between operating systems: file locks, memory and malloc, pipes, terminals and signals.

Linux and macOS have all of them. Windows lacks `fcntl`, `termios`, `resource`, most signals, and polling of pipes.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any, BinaryIO


def _import(name: str) -> Any:
    """Return a module of some systems; None where it is missing."""
    try:
        return import_module(name)
    except ImportError:
        return None


_fcntl, _msvcrt, _resource = _import("fcntl"), _import("msvcrt"), _import("resource")
_termios = _import("termios")
HAS_TERMINALS = _termios is not None
"""Whether keys can be read and frames be drawn in a terminal."""
PASSES_DESCRIPTORS = _fcntl is not None
"""Whether a child process inherits open file descriptors."""
_POLL_INTERVAL_S = 0.02
EXIT_SIGNALS = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)
MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -3, -1, -8
"""Parameter numbers of mallopt (malloc.h)."""
LOADING_THRESHOLD_BYTES = 128 * 2**10
"""While weights load, blocks larger than this are returned to the system when freed, glibc's first default."""
MMAP_THRESHOLD_BYTES = 8 * 2**20
"""While videos render, blocks larger than this are returned to the system when freed.

The system clears a new block at 0.3 ms/MB; the feature maps of small videos stay below this size and are reused.
"""


def lock(file: BinaryIO) -> None:
    """Lock an open file until it is closed. Errors: BlockingIOError where another process holds the lock."""
    if _fcntl is not None:
        _fcntl.flock(file, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    elif _msvcrt is not None:
        try:
            _msvcrt.locking(file.fileno(), _msvcrt.LK_NBLCK, 1)
        except OSError as taken:
            raise BlockingIOError from taken


def is_writable(descriptor: int) -> bool:
    """Return whether a file descriptor is open for writing. Errors: OSError for one that is not open."""
    if _fcntl is None:
        os.fstat(descriptor)
        return True
    return bool(_fcntl.fcntl(descriptor, _fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY)


def open_pipe(path: "os.PathLike[str]") -> int:
    """Open a pipe or device for writing, without waiting for a reader. Errors: OSError, ENXIO without a reader."""
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    set_blocking(descriptor, True)
    return descriptor


def set_blocking(descriptor: int, blocking: bool) -> None:
    """Let writes to a pipe block or not; they always do where pipes cannot be polled."""
    if hasattr(select, "poll"):
        os.set_blocking(descriptor, blocking)


def wait_writable(file: BinaryIO, timeout_s: float) -> bool:
    """Wait until a pipe takes data; return whether it does."""
    if not hasattr(select, "poll"):
        time.sleep(min(timeout_s, _POLL_INTERVAL_S))
        return True
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    return bool(poll.poll(timeout_s * 1000))


def reader_closed(file: BinaryIO) -> bool:
    """Return whether the other end of a pipe is closed; False for anything that is no pipe, and on Windows."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(file, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def open_terminal() -> int:
    """Open the terminal itself: standard input and output may lead elsewhere. Errors: OSError."""
    if not HAS_TERMINALS:
        raise OSError("this system has no terminals of the POSIX kind")
    return os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY)


def terminal_mode(terminal: int) -> list[Any]:
    """Return the settings of a terminal."""
    return list(_termios.tcgetattr(terminal))


def read_single_keys(terminal: int) -> None:
    """Give each key at once and do not echo it, nor let Ctrl-S and Ctrl-Z stop what draws on the terminal."""
    mode = _termios.tcgetattr(terminal)
    mode[0] &= ~_termios.IXON
    mode[3] &= ~(_termios.ECHO | _termios.ICANON)
    mode[6][_termios.VMIN], mode[6][_termios.VTIME], mode[6][_termios.VSUSP] = 1, 0, b"\0"
    _termios.tcsetattr(terminal, _termios.TCSANOW, mode)


def restore_terminal(terminal: int, mode: list[Any]) -> None:
    """Discard what was typed and restore a terminal's settings. Errors: OSError."""
    try:
        _termios.tcflush(terminal, _termios.TCIFLUSH)
        _termios.tcsetattr(terminal, _termios.TCSANOW, mode)
    except _termios.error as closed:
        raise OSError(*closed.args) from closed


def peak_memory() -> int:
    """Return the peak of this process in main memory, in bytes."""
    if _resource is None:
        import psutil

        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    peak = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def free_ram() -> int:
    """Return the RAM that this process may take, in bytes, on a system without /proc."""
    if not hasattr(os, "sysconf"):
        import psutil

        return int(psutil.virtual_memory().available)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def max_open_files() -> int | None:
    """Return how many files this process may open, None on a system without such a limit."""
    return None if _resource is None else int(_resource.getrlimit(_resource.RLIMIT_NOFILE)[0])


def ending_with_this_process(command: list[str]) -> list[str]:
    """Return a command that is killed when the thread that starts it ends, where the system has `setpriv`."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return command if setpriv is None else [setpriv, "--pdeathsig", "KILL", "--", *command]


def new_session() -> None:
    """Leave the parent's session, so that Ctrl-C in its terminal does not reach this process."""
    if hasattr(os, "setsid"):
        os.setsid()


@contextlib.contextmanager
def holding_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back from this thread, and from children that are started within the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_interrupts() -> None:
    """Ignore Ctrl-C from now on, one that is held back included."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextlib.contextmanager
def loading_weights() -> Iterator[None]:
    """Return converted weights' memory to the system at once; afterwards, freed feature maps."""
    _return_blocks_above(LOADING_THRESHOLD_BYTES)
    try:
        yield
    finally:
        release_large_blocks()


def release_large_blocks() -> None:
    """Return freed feature maps to the system; no effect with a C library other than glibc.

    By default glibc keeps blocks of up to 32 MB, per thread: twice the memory that a video needs.
    """
    use_single_heap()
    _return_blocks_above(MMAP_THRESHOLD_BYTES)


def _return_blocks_above(size: int) -> None:
    _mallopt(MMAP_THRESHOLD, size)
    _mallopt(TRIM_THRESHOLD, size)


def use_single_heap() -> None:
    """Let future threads share the process's heap; existing threads keep theirs."""
    _mallopt(ARENA_MAX, 1)


def return_freed_memory() -> None:
    """Return every free page of the heap to the system, also between blocks in use; no effect without glibc."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _mallopt(setting: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library has no mallopt
            ctypes.CDLL(None).mallopt(setting, value)
