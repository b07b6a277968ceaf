"""Terminal preview: a sink that shows frames, and one status line below, while a video is rendered."""

import collections
import contextlib
import threading
from time import monotonic

import numpy as np

from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.terminal.graphics import DRAW
from lingbot_cli.terminal.screen import Screen
from lingbot_cli.ui.signals import on_forced_exit

MAX_QUEUED_S = 2.0  # of video; older frames are dropped
STOP_TIMEOUT_S = 0.3  # for a terminal that blocks


class TerminalPreview(Sink):
    """Sink that never delays the render: a thread draws frames, at most at the video's rate."""

    name = ""  # it writes no file

    def __init__(self, screen: Screen, graphics: str = "auto") -> None:
        self._screen = screen
        self._graphics = graphics
        self._cleanup = contextlib.ExitStack()
        self._frames: collections.deque[np.ndarray] = collections.deque()
        self._period = 0.0
        self._status = ""
        self._stopping = threading.Event()
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None
        self.shown = False

    def open(self, video: VideoInfo) -> None:
        self._frames = collections.deque(maxlen=max(1, round(MAX_QUEUED_S * video.fps)))
        self._period = 1 / float(video.fps)
        with contextlib.ExitStack() as cleanup:
            cleanup.enter_context(self._screen)
            kind = self._screen.graphics() if self._graphics == "auto" else self._graphics
            cleanup.enter_context(on_forced_exit(self._stop))
            self._thread = threading.Thread(target=self._run, args=(kind,), name="preview", daemon=True)
            self._thread.start()
            self._cleanup = cleanup.pop_all()
        self.shown = True

    def write(self, frames: np.ndarray) -> None:
        self.check()
        self._frames.extend(frames)

    def set_status(self, line: str) -> None:
        """Show this line below the frames from the next drawing on."""
        self._status = line.splitlines()[0] if line else ""

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self._stop()
        self._cleanup.close()
        self.shown = False

    def _stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self, kind: str) -> None:
        try:
            self._draw_frames(kind)
        except OSError:  # the terminal was closed; the render continues
            return
        except Exception as error:
            self._error = error

    def _draw_frames(self, kind: str) -> None:
        draw, due, frame, drawn = DRAW[kind], monotonic(), None, None
        while not self._stopping.wait(max(0.0, due - monotonic())):
            start, cells, status = monotonic(), self._screen.cells(), self._status
            new = self._frames.popleft() if self._frames else None
            frame = frame if new is None else new
            if frame is not None and (new is not None or drawn is None or cells != drawn[0]):
                self._screen.write(draw(frame, *cells))
            if (cells, status) != drawn or new is not None:
                self._screen.show_status(status)
            drawn = cells, status
            # Drawing takes at most half a core from the render.
            due = max(due + self._period, start + 2 * (monotonic() - start))
