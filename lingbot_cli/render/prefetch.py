"""Stages of a job that work at the same time, each a bounded step ahead of the next."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

PREFETCH_DEPTH = 1
POLL_INTERVAL_S = 0.2  # seconds between looks at what happens elsewhere


class _End:
    """Marks the end of a stage, with the exception that ended it."""

    def __init__(self, failure: BaseException | None) -> None:
        self.failure = failure


def prefetch(
    items: Iterable[T], name: str, *, depth: int = PREFETCH_DEPTH, idle: Callable[[], None] = lambda: None
) -> Generator[T, None, None]:
    """Yield `items` while a thread already makes the next `depth` of them.

    An exception in `items` is raised here, in the reader. `idle` is called now and then while the reader
    waits, and may raise. When the reader stops early, so does the thread, after the item it is making.
    """
    done: queue.Queue[T | _End] = queue.Queue(depth)
    left = threading.Event()

    def put(item: T | _End) -> bool:
        while not left.is_set():
            try:
                done.put(item, timeout=POLL_INTERVAL_S)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        failure: BaseException | None = None
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(item):
                    break
        except BaseException as error:
            failure = error
        finally:
            # A stage before this one stops with it.
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        put(_End(failure))

    # Daemons, so that a forward pass that takes minutes cannot keep a failed program alive.
    threading.Thread(target=work, name=name, daemon=True).start()
    try:
        while True:
            try:
                item = done.get(timeout=POLL_INTERVAL_S)
            except queue.Empty:
                idle()
                continue
            if isinstance(item, _End):
                if item.failure is not None:
                    raise item.failure
                return
            yield item
    finally:
        left.set()
