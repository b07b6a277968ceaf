"""Play in a terminal: frames drawn at their rate, keys heard between them, chunks made beside."""

import threading
from collections import deque
from concurrent.futures import Future
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from lingbot_cli.camera.keys import LETTERS
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.server.client_messages import ActionStates
from lingbot_cli.server.client_messages import Init
from lingbot_cli.server.pacing import ChunkPacer
from lingbot_cli.server.play_session import PlaySession, RenderResult
from lingbot_cli.server.protocol import Limits
from lingbot_cli.server.record import Recorder
from lingbot_cli.server.service import Service
from lingbot_cli.terminal.graphics import DRAW
from lingbot_cli.terminal.keyboard import HeldKeys, parse_keys
from lingbot_cli.terminal.screen import Screen
from lingbot_cli.ui.signals import StopRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingbot_cli.model.world_model import WorldModel
    from lingbot_cli.server.service import Offer

    Load = Callable[[Offer], WorldModel]

_HELP = "X leaves · WASD walk · IJKL or arrows look · Enter says · space pauses · R again · QE down, up"


def play_in_terminal(
    env: Env, load: "Load", offer: "Offer", recorder: Recorder | None, graphics: str
) -> None:
    """Play until X, or a signal, which raises InterruptedRun; the terminal is given back either way."""
    if not (env.stdin.isatty() and env.stdout.isatty()):
        raise UsageError("--in terminal needs a terminal", hint="leave it out to play in a browser")
    screen = Screen(env.stdin.fileno(), env.stdout.fileno())
    with StopRequest(env.err.print).handling():
        env.err.print("the world is being loaded …")
        service = Service(load(offer), Limits(), offer)
        service.warm()
        with screen:
            kind = screen.graphics() if graphics == "auto" else graphics
            TerminalPlayer(screen, service, recorder, kind).run()


class TerminalPlayer:
    """One game; everything but the making of chunks happens in the caller's thread."""

    def __init__(self, screen: Screen, service: Service, recorder: Recorder | None, graphics: str) -> None:
        self._screen = screen
        self._living = service.living(Init(type="init"))
        self._recorder = recorder
        self._draw = DRAW[graphics]
        self._held = HeldKeys()
        self._letters = ""
        self._writing: str | None = None
        self._pace = ChunkPacer()
        self._frames: deque[tuple[np.ndarray, float | None]] = deque()  # and when what it shows was said
        self._said: dict[int, float] = {}
        self._number = 0
        self._latency: float | None = None
        self._work: Future[RenderResult] | None = None
        self._next = 0.0
        self._shown: deque[float] = deque(maxlen=32)
        self._over = False

    def run(self) -> None:
        """Until X is pressed."""
        while not self._over:
            now = monotonic()
            for key in parse_keys(self._screen.read(min(0.02, max(0.0, self._next - now)))):
                self._hear(key)
            now = monotonic()
            self._steer(now)
            self._make(now)
            if self._frames and now >= self._next:
                self._show(now)

    def _steer(self, now: float) -> None:
        letters = self._held.letters(now)
        if letters != self._letters:
            pressed = bool(set(letters) - set(self._letters))
            self._letters = letters
            self._living.conditions.act(ActionStates((letters,)), self._event(now) if pressed else None)

    def _event(self, now: float) -> int:
        """A number for what is said now, which comes back with the chunk that has heard it."""
        self._number += 1
        self._said[self._number] = now
        return self._number

    def _make(self, now: float) -> None:
        if self._work is not None:
            if not self._work.done():
                return
            work, self._work = self._work.result(), None
            made = self._living.take(work)
            if made is not None:
                if not self._frames:
                    self._next = max(self._next, now)
                said = [when for number in made.told.event_ids if (when := self._said.pop(number, None))]
                self._frames.append((made.frames[0], min(said, default=None)))
                self._frames.extend((frame, None) for frame in made.frames[1:])
                self._living.sent(made)
                self._pace.sent(len(made.frames) / self._living.setting.fps, made.seconds, now)
                if self._recorder is not None:
                    self._recorder.chunk(self._living)
        if self._living.ready and self._pace.until_begin(now) == 0:
            self._work = render_in_thread(self._living)

    def _show(self, now: float) -> None:
        period = 1 / self._living.setting.fps
        # A terminal too slow for the rate sees fewer pictures, not older ones.
        overdue = min(len(self._frames), 1 + int((now - self._next) / period))
        self._next += overdue * period
        taken = [self._frames.popleft() for _ in range(overdue)]
        self._shown.append(now)
        columns, rows = self._screen.cells()
        self._screen.write(self._draw(taken[-1][0], columns, rows))
        for _, said in taken:
            self._latency = self._latency if said is None else monotonic() - said
        self._say()

    def _say(self) -> None:
        if self._writing is not None:
            self._screen.line(f"say: {self._writing}▏")
            return
        span = self._shown[-1] - self._shown[0] if self._shown else 0
        rate = (len(self._shown) - 1) / span if span else 0.0
        held = f" · {self._letters.upper()}" if self._letters else ""
        state = "paused" if self._living.paused else f"{rate:.1f} fps"
        if self._latency is not None:
            state += f" · {self._latency:.1f} s from key to picture"
        self._screen.line(f"{state} · chunk {self._living.index}{held} · {_HELP}")

    def _hear(self, key: str) -> None:
        if self._writing is not None:
            self._write(key)
        elif key in ("\r", "\n"):
            self._writing = ""
            self._say()
        elif key.lower() in LETTERS:
            self._held.press(key.lower(), monotonic())
        elif key == " ":
            self._living.paused = not self._living.paused
            self._say()
        elif key in "rR":
            self._frames.clear()
            self._said.clear()
            self._living.restart(self._living.setting)
            self._held.release()
            self._letters = ""
            self._pace = ChunkPacer()
        elif key in "xX":
            self._over = True

    def _write(self, key: str) -> None:
        said = self._writing or ""
        if key in ("\r", "\n"):
            if said.strip():
                self._living.conditions.say(said.strip(), self._event(monotonic()))
            self._writing = None
        elif key == "\x1b":
            self._writing = None
        elif key in ("\x7f", "\b"):
            self._writing = said[:-1]
        elif key.isprintable():
            self._writing = said + key
        self._say()


def render_in_thread(living: PlaySession) -> "Future[RenderResult]":
    """Have the next chunk made in a thread that keeps no failed program alive."""
    work = living.work(living.tell())
    future: Future[RenderResult] = Future()

    def make() -> None:
        try:
            future.set_result(work())
        except BaseException as failure:
            future.set_exception(failure)

    threading.Thread(target=make, name="world", daemon=True).start()
    return future
