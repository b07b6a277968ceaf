"""Chunks that run out of memory: rendered once more after memory was freed."""

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

from lingbot_cli.errors import InsufficientMemoryError
from lingbot_cli.operating_system import return_freed_memory

log = logging.getLogger("lingbot.server")
Result = TypeVar("Result")


def attempt(task: Callable[[], Result]) -> Result | None:
    """Run a task; return None if it ran out of memory, with nothing left of what it had allocated."""
    from lingbot_cli.model.device import is_out_of_memory

    try:
        return task()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        log.warning("out of memory: %s", str(error).partition("\n")[0])
        return None


def attempt_again(task: Callable[[], Result]) -> Result:
    """Return unused memory to the devices and the system, and run a task. Errors: InsufficientMemoryError."""
    from lingbot_cli.model.device import empty_caches

    log.warning("a chunk is rendered once more, with less in memory")
    gc.collect()
    empty_caches()
    return_freed_memory()
    result = attempt(task)
    if result is None:
        raise InsufficientMemoryError(
            "not enough memory for the next chunk",
            hint="use a smaller size, a smaller window or fewer sessions",
        )
    return result
