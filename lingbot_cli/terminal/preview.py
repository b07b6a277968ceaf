"""A film watched in the terminal while it is made: pictures, and one line below them."""

import collections
import contextlib
import threading
from time import monotonic

import numpy as np

from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.terminal.graphics import DRAW
from lingbot_cli.terminal.screen import Screen
from lingbot_cli.ui.signals import on_forced_exit

MAX_QUEUED_S = 2.0  # of film that may wait for its turn
STOP_TIMEOUT_S = 0.3  # seconds a terminal that takes nothing more is waited for


class TerminalPreview:
    """A sink that never holds the film up: a thread draws what it can, at most at the film's own rate."""

    name = ""  # a film is not named after who watches it

    def __init__(self, screen: Screen, graphics: str = "auto") -> None:
        self._screen = screen
        self._graphics = graphics
        self._ends = contextlib.ExitStack()
        self._frames: collections.deque[np.ndarray] = collections.deque()
        self._period = 0.0
        self._status = ""
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None
        self.shown = False

    def resumable_frames(self, film: VideoInfo, limit: int) -> dict[str, int]:  # noqa: ARG002
        return {}

    def preflight(self, film: VideoInfo) -> None:  # noqa: ARG002
        return None

    def open(self, film: VideoInfo) -> None:
        self._frames = collections.deque(maxlen=max(1, round(MAX_QUEUED_S * film.fps)))
        self._period = 1 / float(film.fps)
        with contextlib.ExitStack() as ends:
            ends.enter_context(self._screen)
            kind = self._screen.graphics() if self._graphics == "auto" else self._graphics
            ends.enter_context(on_forced_exit(self._stop))
            self._thread = threading.Thread(target=self._run, args=(kind,), name="preview", daemon=True)
            self._thread.start()
            self._ends = ends.pop_all()
        self.shown = True

    def write(self, frames: np.ndarray) -> None:
        self.check()
        self._frames.extend(frames)

    def say(self, line: str) -> None:
        """Put this below the picture, as soon as it is its turn."""
        self._status = line.splitlines()[0] if line else ""

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        self._stop()
        self._ends.close()
        self.shown = False

    def abort(self) -> str | None:
        self.close()
        return None

    def _stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self, kind: str) -> None:
        try:
            self._show(kind)
        except OSError:  # the terminal is gone; the film is not
            return
        except Exception as failure:
            self._failure = failure

    def _show(self, kind: str) -> None:
        draw, due, last, before = DRAW[kind], monotonic(), None, None
        while not self._over.wait(max(0.0, due - monotonic())):
            begun, cells, status = monotonic(), self._screen.cells(), self._status
            fresh = self._frames.popleft() if self._frames else None
            last = last if fresh is None else fresh
            if last is not None and (fresh is not None or before is None or cells != before[0]):
                self._screen.write(draw(last, *cells))
            if (cells, status) != before or fresh is not None:
                self._screen.line(status)
            before = cells, status
            # Whoever watches takes no more than half a core from the world.
            due = max(due + self._period, begun + 2 * (monotonic() - begun))
