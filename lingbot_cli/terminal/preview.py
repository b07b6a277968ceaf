"""Terminal preview: a sink that shows frames, and a display in one status line below, while a video is rendered."""

import collections
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic

import numpy as np
from rich.console import Console

from lingbot_cli.redact import redact
from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.terminal.graphics import DRAW
from lingbot_cli.terminal.screen import Screen
from lingbot_cli.ui.display import PlainDisplay, Report, progress_line
from lingbot_cli.ui.progress import Progress
from lingbot_cli.ui.signals import on_forced_exit

MAX_QUEUED_S = 2.0  # of video; older frames are dropped
STOP_TIMEOUT_S = 0.3  # for a terminal that blocks


class TerminalPreview(Sink):
    """Sink that never delays the render: a thread draws frames, at most at the video's rate."""

    name = ""  # it writes no file

    def __init__(self, screen: Screen, graphics: str = "auto") -> None:
        self.screen = screen
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
            cleanup.enter_context(self.screen)
            kind = self.screen.graphics() if self._graphics == "auto" else self._graphics
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
            start, cells, status = monotonic(), self.screen.cells(), self._status
            new = self._frames.popleft() if self._frames else None
            frame = frame if new is None else new
            if frame is not None and (new is not None or drawn is None or cells != drawn[0]):
                self.screen.write(draw(frame, *cells))
            if (cells, status) != drawn or new is not None:
                self.screen.show_status(status)
            drawn = cells, status
            # Drawing takes at most half a core from the render.
            due = max(due + self._period, start + 2 * (monotonic() - start))


MAX_PENDING_LINES = 200


class StatusLineDisplay(PlainDisplay):
    """Shows progress in the status line; notes and warnings are printed once the terminal is restored."""

    interval_s = 1.0

    def __init__(self, console: Console, preview: TerminalPreview, *, quiet: bool) -> None:
        super().__init__(console)
        self._preview = preview
        self._quiet = quiet
        self._pending: collections.deque[Callable[[], None]] = collections.deque(maxlen=MAX_PENDING_LINES)
        self._keys = contextlib.ExitStack()
        self._keys.enter_context(preview.screen.without_echo())  # until `close`

    def chunk(self, progress: Progress) -> None:
        self._preview.set_status(progress_line(progress))

    def state(self, report: Report) -> None:
        self._preview.set_status(redact(report.text))

    def plan(self, report: Report) -> None:
        if not self._quiet:
            super().plan(report)
        self._preview.set_status("rendering the first chunk …")

    def event(self, kind: str, report: Report) -> None:
        if not self._quiet:
            self._report(kind, report.text, partial(super().event, kind, report))

    def note(self, text: str) -> None:
        if not self._quiet:
            self._report("note", text, partial(super().note, text))

    def warning(self, text: str) -> None:
        self._report("warning", text, partial(super().warning, text))

    def done(self, report: Report) -> None:
        self._print_pending()
        if not self._quiet:
            super().done(report)

    def close(self) -> None:
        self._print_pending()
        self._keys.close()

    def _print_pending(self) -> None:
        while self._pending and not self._preview.shown:
            self._pending.popleft()()

    def _report(self, kind: str, text: str, show: Callable[[], None]) -> None:
        self._pending.append(show)
        if self._preview.shown:
            self._preview.set_status(redact(f"{kind}: {text}"))
        self._print_pending()
