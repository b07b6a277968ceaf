"""Work in daemon threads, which do not delay the exit of a program that has ended or failed."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def run_in_daemon_thread(task: Callable[[], Result], name: str) -> "Future[Result]":
    """Start a task in a thread of its own and return its future result."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(task())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
