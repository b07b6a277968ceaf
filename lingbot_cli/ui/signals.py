"""Signals: the first Ctrl-C asks a run to end in order, the second ends it at once."""

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from lingbot_cli.errors import LingbotError, RunInterrupted
from lingbot_cli.operating_system import EXIT_SIGNALS, use_single_heap

NOTIFIER_JOIN_TIMEOUT_S = 1.0
_exit_hooks: list[Callable[[], None]] = []
_active: list["StopRequest"] = []  # those that handle the signals, the innermost last


class StopRequest:
    """Request of a signal to end the run; true once one came, with its `number`.

    Until `graceful` is set the first signal ends the run. `notify` gets a line about the signal in a thread of its
    own: the handler may interrupt a line that is being printed, so it must not print.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self.number: int | None = None
        self.graceful = False
        self._deferred = False
        self._notify = notify
        self._messages: queue.SimpleQueue[str | None] = queue.SimpleQueue()  # reentrant, unlike queue.Queue

    def __call__(self) -> bool:
        return self.number is not None

    def check(self, *, whole: bool) -> None:
        """Raise RunInterrupted if a signal came and the video is not `whole`."""
        if self.number is not None and not whole:
            name = signal.Signals(self.number).name
            raise RunInterrupted(f"interrupted by {name}", signal_number=self.number)

    @contextlib.contextmanager
    def deferring(self) -> Iterator[None]:
        """Let the block end before a first signal ends the run."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        self.check(whole=self.graceful)

    @contextlib.contextmanager
    def handling(self) -> Iterator["StopRequest"]:
        """Handle the signals while the block runs; does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        use_single_heap()  # a heap of the next thread would be filled by the model's threads too
        notifier = threading.Thread(target=self._run_notifier, daemon=True)
        notifier.start()
        _active.append(self)
        try:
            with handled_by(self._on_signal):
                yield self
        finally:
            _active.remove(self)
            self._messages.put(None)
            notifier.join(NOTIFIER_JOIN_TIMEOUT_S)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            for hook in reversed(_exit_hooks):
                hook()
            # Not sys.exit, which waits for threads. The encoder sees the end of its input and finishes alone.
            os._exit(128 + number)
        self.number = number
        if self._deferred:
            return
        if not self.graceful:
            self.check(whole=False)
        self._messages.put(f"{signal.Signals(number).name}: finishing this chunk; once more to leave at once")

    def _run_notifier(self) -> None:
        while (text := self._messages.get()) is not None:
            with contextlib.suppress(LingbotError, OSError):  # a closed stream fails at the next line again
                self._notify(text)


def stop_requested() -> bool:
    """Return whether a signal has asked the run to end; for waits that must not outlast it."""
    return bool(_active) and _active[-1]()


def check_stop() -> None:
    """Raise RunInterrupted if a signal has asked the run to end."""
    if _active:
        _active[-1].check(whole=False)


def add_exit_hook(hook: Callable[[], None]) -> None:
    """Call `hook` if a second signal ends the program."""
    _exit_hooks.append(hook)


@contextlib.contextmanager
def on_forced_exit(hook: Callable[[], None]) -> Iterator[None]:
    """Call `hook` if a second signal ends the program while the block runs."""
    _exit_hooks.append(hook)
    try:
        yield
    finally:
        _exit_hooks.remove(hook)


@contextlib.contextmanager
def ignoring_signals() -> Iterator[None]:
    """Leave the signals to another process while the block runs."""
    with handled_by(signal.SIG_IGN):
        yield


@contextlib.contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """Handle the signals that end a run by `handler` while the block runs."""
    before = {number: signal.signal(number, handler) for number in EXIT_SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
