"""glibc malloc settings that return freed feature maps to the system while a model runs on the CPU."""

import contextlib
import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -3, -1, -8
"""Parameter numbers of mallopt (malloc.h)."""
MMAP_THRESHOLD_BYTES = 8 * 2**20
"""Blocks larger than this are returned to the system when freed.

The system clears a new block at 0.3 ms/MB; the feature maps of small videos stay below this size and are reused.
"""


def release_large_blocks() -> None:
    """Return freed feature maps to the system; no effect with a C library other than glibc.

    By default glibc keeps blocks of up to 32 MB, per thread: twice the memory that a video needs.
    """
    use_single_heap()
    _mallopt(MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
    _mallopt(TRIM_THRESHOLD, MMAP_THRESHOLD_BYTES)


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
