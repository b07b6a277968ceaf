"""Ctrl-C and its kin: the first asks the run to end well, the second ends it at once."""

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from lingbot_cli.errors import LingbotError, RunInterrupted
from lingbot_cli.model.accel.malloc import use_single_heap

_SIGNAL_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
NOTIFIER_JOIN_TIMEOUT_S = 1.0  # seconds a reader that has stopped reading is waited for
_exit_hooks: list[
    Callable[[], None]
] = []  # of whoever holds something that outlives the process, such as a terminal


class StopRequest:
    """Whether a signal has asked the run to end; `number` is that signal.

    Only while `politely` is set is there something worth finishing: before, the first signal ends the run.
    `tell` hears what the signal does, in a thread of its own: a signal may come in the middle of a line that is
    being printed, and its handler must not print then.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.number: int | None = None
        self.graceful = False
        self._deferred = False
        self._notify = tell
        self._messages: queue.SimpleQueue[str | None] = queue.SimpleQueue()  # may be put to in a handler

    def __call__(self) -> bool:
        return self.number is not None

    def check(self, *, whole: bool) -> None:
        """Raise InterruptedRun when a signal came and the film is not whole."""
        if self.number is not None and not whole:
            name = signal.Signals(self.number).name
            raise RunInterrupted(f"interrupted by {name}", signal_number=self.number)

    @contextlib.contextmanager
    def deferring(self) -> Iterator[None]:
        """Let a block that begins something whole end before a first signal ends the run."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        self.check(whole=self.graceful)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            for do in reversed(_exit_hooks):
                do()
            # Not sys.exit: that would wait for threads. The encoder sees its input end and finishes alone.
            os._exit(128 + number)
        self.number = number
        if self._deferred:
            return
        if not self.graceful:
            self.check(whole=False)
        self._messages.put(f"{signal.Signals(number).name}: finishing this chunk; once more to leave at once")

    @contextlib.contextmanager
    def handling(self) -> Iterator["StopRequest"]:
        """Hear the signals while the block runs; elsewhere than in the main thread there are none."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        heard = [number for name in _SIGNAL_NAMES if (number := getattr(signal, name, None)) is not None]
        use_single_heap()  # the next thread's own would be filled by the world's threads too
        teller = threading.Thread(target=self._run_notifier, daemon=True)
        teller.start()
        before = {number: signal.signal(number, self._on_signal) for number in heard}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._messages.put(None)
            teller.join(NOTIFIER_JOIN_TIMEOUT_S)

    def _run_notifier(self) -> None:
        while (text := self._messages.get()) is not None:
            with contextlib.suppress(LingbotError, OSError):  # nobody reads: the next to print says so
                self._notify(text)


@contextlib.contextmanager
def on_forced_exit(do: Callable[[], None]) -> Iterator[None]:
    """Have something done should a second signal end the program while the block runs."""
    _exit_hooks.append(do)
    try:
        yield
    finally:
        _exit_hooks.remove(do)


@contextlib.contextmanager
def ignoring_signals() -> Iterator[None]:
    """Leave the signals to another process while the block runs."""
    heard = [number for name in _SIGNAL_NAMES if (number := getattr(signal, name, None)) is not None]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
