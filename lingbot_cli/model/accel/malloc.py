"""What the C library does with memory that was given back to it; told before a world runs on the CPU."""

import contextlib
import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -3, -1, -8
"""glibc's names for its settings (malloc.h)."""
MMAP_THRESHOLD_BYTES = 8 * 2**20
"""Larger blocks go back to the system at once, so that they count only while they are used.

A block from the system costs 0.3 ms a MB to be cleared; the feature maps of small films are below this and
stay where they are.
"""


def release_large_blocks() -> None:
    """Have freed feature maps leave the process; where the C library is not glibc, nothing is changed.

    Left alone, glibc keeps blocks of up to 32 MB, and every thread its own: twice of what a film needs.
    """
    use_single_heap()
    _mallopt(MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
    _mallopt(TRIM_THRESHOLD, MMAP_THRESHOLD_BYTES)


def use_single_heap() -> None:
    """Have threads to come share the process's heap; those that were there before keep one of their own."""
    _mallopt(ARENA_MAX, 1)


def _mallopt(setting: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library has no mallopt
            ctypes.CDLL(None).mallopt(setting, value)
