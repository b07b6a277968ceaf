"""Prefetch: a thread that computes the next items of an iterator while the current one is used."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

POLL_INTERVAL_S = 0.2


@dataclass
class _End:
    """End of the items, with the exception that ended them."""

    failure: BaseException | None = None


def prefetch(
    items: Iterable[T], name: str, *, idle: Callable[[], None] = lambda: None, ahead: int = 1
) -> Generator[T, None, None]:
    """Yield `items` while a thread computes the next one, and as many as are `ahead` wait.

    An exception in `items` is raised here, in the reader. `idle` is called every 0.2 s while the reader waits, and
    may raise. When the reader stops early the thread ends after its current item.
    """
    ready: queue.Queue[T | _End] = queue.Queue(ahead)
    abandoned = threading.Event()

    def put(item: T | _End) -> bool:
        while not abandoned.is_set():
            try:
                ready.put(item, timeout=POLL_INTERVAL_S)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        end, iterator = _End(), iter(items)
        try:
            for item in iterator:
                if not put(item):
                    break
        except BaseException as error:
            end.failure = error
        finally:
            # A stage before this one stops with it.
            getattr(iterator, "close", lambda: None)()
        put(end)

    # A daemon, so that a forward pass of minutes cannot keep a failed program alive.
    threading.Thread(target=work, name=name, daemon=True).start()
    try:
        while True:
            try:
                item = ready.get(timeout=POLL_INTERVAL_S)
            except queue.Empty:
                idle()
                continue
            if isinstance(item, _End):
                if item.failure is not None:
                    raise item.failure
                return
            yield item
    finally:
        abandoned.set()
