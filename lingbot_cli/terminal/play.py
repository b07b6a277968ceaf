"""Player in the terminal: draws frames at their rate, reads keys, renders chunks in a thread."""

from collections import deque
from concurrent.futures import Future
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from lingbot_cli.broadcast.just_in_time import ChunkPacer
from lingbot_cli.camera.keys import LETTERS
from lingbot_cli.daemon_thread import run_in_daemon_thread
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.operating_system import HAS_TERMINALS
from lingbot_cli.server.client_messages import ActionStates, Init
from lingbot_cli.server.out_of_memory import attempt, attempt_again
from lingbot_cli.server.play_session import PlaySession, RenderTaskResult
from lingbot_cli.server.protocol import ClientLimits
from lingbot_cli.server.record import SessionRecorder
from lingbot_cli.server.service import ModelService
from lingbot_cli.terminal.graphics import DRAW
from lingbot_cli.terminal.keyboard import HeldKeys, parse_keys
from lingbot_cli.terminal.screen import Screen
from lingbot_cli.ui.signals import StopRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingbot_cli.model.world_model import WorldModel
    from lingbot_cli.runtime.session_memory import SessionMemory
    from lingbot_cli.server.service import SessionDefaults

    ModelLoader = Callable[[SessionDefaults], tuple[WorldModel, SessionMemory]]

POLL_INTERVAL_S = 0.02
_HELP = (
    "X quit",
    "WASD walk",
    "IJKL or arrows look",
    "Space pause",
    "Enter prompt",
    "R restart",
    "QE down, up",
)
"""Hints of the status line, the most needed first."""


def play_in_terminal(
    env: Env,
    load: "ModelLoader",
    defaults: "SessionDefaults",
    recorder: SessionRecorder | None,
    graphics: str,
) -> None:
    """Play until X is pressed; the terminal is restored on every exit. Errors: InterruptedRun on a signal."""
    if not (env.stdin.isatty() and env.stdout.isatty()):
        raise UsageError("--in terminal needs a terminal", hint="leave it out to play in a browser")
    if not HAS_TERMINALS:
        raise UsageError("--in terminal: not on this system", hint="leave it out to play in a browser")
    screen = Screen(env.stdin.fileno(), env.stdout.fileno())
    with StopRequest(env.err.print).handling():
        env.err.print("loading the model …")
        with screen.without_echo():
            service = ModelService(load(defaults)[0], ClientLimits(), defaults)
            service.warm_up()
        with screen:
            kind = screen.graphics() if graphics == "auto" else graphics
            TerminalPlayer(screen, service, recorder, kind).run()


class TerminalPlayer:
    """One play session; everything but rendering runs in the caller's thread."""

    def __init__(
        self, screen: Screen, service: ModelService, recorder: SessionRecorder | None, graphics: str
    ) -> None:
        self._screen = screen
        self._session = service.new_session(Init(type="init"))
        self._recorder = recorder
        self._draw = DRAW[graphics]
        self._held_keys = HeldKeys()
        self._keys = ""
        self._typed_prompt: str | None = None  # while a prompt is typed
        self._pacer = ChunkPacer()
        self._frames: deque[tuple[np.ndarray, float | None]] = deque()  # with the time of the event it shows
        self._event_times: dict[int, float] = {}
        self._event_id = 0
        self._latency_s: float | None = None
        self._rendering: Future[RenderTaskResult] | None = None
        self._next_frame_at = 0.0
        self._drawn_at: deque[float] = deque(maxlen=32)
        self._quit = False

    def run(self) -> None:
        """Play until X is pressed."""
        while not self._quit:
            timeout_s = min(POLL_INTERVAL_S, max(0.0, self._next_frame_at - monotonic()))
            for key in parse_keys(self._screen.read(timeout_s)):
                self._handle_key(key)
            now = monotonic()
            self._push_held_keys(now)
            self._render(now)
            if self._frames and now >= self._next_frame_at:
                self._draw_frame(now)

    def _push_held_keys(self, now: float) -> None:
        keys = self._held_keys.letters(now)
        if keys != self._keys:
            pressed = bool(set(keys) - set(self._keys))
            self._keys = keys
            event_id = self._new_event(now) if pressed else None
            self._session.inputs.push_actions(ActionStates((keys,)), event_id)

    def _new_event(self, now: float) -> int:
        """Return an event id, which comes back with the first chunk that the event changes."""
        self._event_id += 1
        self._event_times[self._event_id] = now
        return self._event_id

    def _render(self, now: float) -> None:
        """Queue the frames of a rendered chunk, and start the next one when it is time."""
        if self._rendering is not None:
            if not self._rendering.done():
                return
            result, self._rendering = self._rendering.result(), None
            chunk = self._session.accept(result)
            if chunk is not None:
                if not self._frames:
                    self._next_frame_at = max(self._next_frame_at, now)
                times = [at for each in chunk.input.event_ids if (at := self._event_times.pop(each, None))]
                self._frames.append((chunk.frames[0], min(times, default=None)))
                self._frames.extend((frame, None) for frame in chunk.frames[1:])
                self._session.mark_sent(chunk)
                self._pacer.chunk_sent(len(chunk.frames) / self._session.settings.fps, chunk.render_s, now)
                if self._recorder is not None:
                    self._recorder.chunk_sent(self._session)
        if error := self._session.pending_prompt.take_error():
            raise error
        if self._session.ready and self._pacer.render_delay(now) == 0:
            self._rendering = render_in_thread(self._session)

    def _draw_frame(self, now: float) -> None:
        period = 1 / self._session.settings.fps
        # A slow terminal skips frames instead of falling behind.
        due = min(len(self._frames), 1 + int((now - self._next_frame_at) / period))
        self._next_frame_at += due * period
        frames = [self._frames.popleft() for _ in range(due)]
        self._drawn_at.append(now)
        columns, rows = self._screen.cells()
        self._screen.write(self._draw(frames[-1][0], columns, rows))
        for _, event_time in frames:
            self._latency_s = self._latency_s if event_time is None else monotonic() - event_time
        self._show_status()

    def _show_status(self) -> None:
        if self._typed_prompt is not None:
            room = max(1, self._screen.cells()[0] - len("prompt: ▏") - 1)
            self._screen.show_status(f"prompt: {self._typed_prompt[-room:]}▏")
            return
        span = self._drawn_at[-1] - self._drawn_at[0] if self._drawn_at else 0
        rate = (len(self._drawn_at) - 1) / span if span else 0.0
        parts = ["paused" if self._session.paused else f"{rate:.1f} fps"]
        if self._latency_s is not None:
            parts.append(f"{self._latency_s:.1f} s latency")
        parts.append(f"chunk {self._session.chunk_index}")
        if self._session.pending_prompt:
            parts.append("prompt pending")
        if self._keys:
            parts.append(self._keys.upper())
        self._screen.show_status(" · ".join((*parts, *_HELP)))

    def _handle_key(self, key: str) -> None:
        if self._typed_prompt is not None:
            self._edit_prompt(key)
        elif key in ("\r", "\n"):
            self._typed_prompt = ""
            self._show_status()
        elif key.lower() in LETTERS:
            self._held_keys.press(key.lower(), monotonic())
        elif key == " ":
            self._session.paused = not self._session.paused
            self._show_status()
        elif key in "rR":
            self._restart()
        elif key in "xX":
            self._quit = True

    def _restart(self) -> None:
        self._frames.clear()
        self._event_times.clear()
        self._session.restart(self._session.settings)
        self._held_keys.release_all()
        self._keys = ""
        self._pacer = ChunkPacer()

    def _edit_prompt(self, key: str) -> None:
        prompt = self._typed_prompt or ""
        if key in ("\r", "\n"):
            if prompt.strip():
                self._session.pending_prompt.set(prompt.strip(), self._new_event(monotonic()))
            self._typed_prompt = None
        elif key == "\x1b":
            self._typed_prompt = None
        elif key in ("\x7f", "\b"):
            self._typed_prompt = prompt[:-1]
        elif key.isprintable():
            self._typed_prompt = prompt + key
        self._show_status()


def render_in_thread(session: PlaySession) -> "Future[RenderTaskResult]":
    """Render the next chunk in a thread."""
    task = session.render_task(session.next_input())
    return run_in_daemon_thread(lambda: attempt(task) or attempt_again(task), "render")
