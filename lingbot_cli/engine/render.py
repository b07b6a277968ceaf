"""A film made by a remote engine, its frames into the same sinks."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby

import numpy as np

from lingbot_cli.control import Control
from lingbot_cli.engine.address import Engine
from lingbot_cli.engine.scene import Scene, control_event, init, prompt_event
from lingbot_cli.engine.wire import GONE, Stopped, Wire, frames_of, refused
from lingbot_cli.errors import StreamLostError
from lingbot_cli.redact import redact
from lingbot_cli.run.job import Made
from lingbot_cli.run.request import Prepared
from lingbot_cli.run.steps import Step
from lingbot_cli.sinks.base import Sink

_AHEAD = 2  # controls the server knows before it has answered the one in work
_TRIES, _PAUSE = 5, 0.5  # attempts to come back to a world, and seconds before the first


def render_remote(
    engine: Engine,
    prepared: Prepared,
    sink: Sink,
    stopped: Callable[[], bool],
    on_step: Callable[[Step], None],
    tell: Callable[[str], None],
    *,
    exact: bool,
) -> Made:
    """Render into an open sink until the film is whole or `stopped`; `tell` hears what is worth knowing.

    Errors: StreamLostError when the engine is lost for good, UsageError when it refuses.
    """
    chunks = frames = 0

    def idle() -> None:
        sink.check()
        if stopped():
            raise Stopped

    try:
        for scene in scenes(prepared):
            for control, shown in zip(scene.controls, Play(engine, scene, exact, idle, tell), strict=True):
                sink.write(shown)
                on_step(Step(chunks, control))
                chunks += 1
                frames += len(shown)
                idle()
    except Stopped:
        pass
    return Made(chunks, frames, "")


def scenes(prepared: Prepared) -> Iterator[Scene]:
    """The film's scenes in order, each from its own picture."""
    number = 0

    def scene_of(control: Control) -> int:
        nonlocal number
        number += control.cut is not None
        return number

    planned = prepared.plan
    for _, group in groupby(prepared.controls, scene_of):
        controls = list(group)
        picture = prepared.images[controls[0].cut]
        yield Scene(
            picture, controls, planned.height, planned.width, planned.fps, planned.seed, planned.scale
        )


class Play:
    """A scene's chunks in order, frames [T, H, W, 3] uint8 cut to the film; a lost connection is mended."""

    def __init__(
        self,
        engine: Engine,
        scene: Scene,
        exact: bool,
        idle: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._scene = scene
        self._exact = exact
        self._idle = idle
        self._tell = tell
        self._key: str | None = None
        self._said = 0
        self._got = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        tries = 0
        while self._got < len(self._scene.controls):
            before = self._got
            try:
                with self._connected() as wire:
                    yield from self._chunks(wire)
            except GONE as gone:
                tries = 1 if self._got > before else tries + 1
                if self._key is None or tries > _TRIES:
                    raise StreamLostError(
                        f"the engine {self._engine.address} is lost: {redact(str(gone)) or 'no answer'}"
                    ) from gone
                self._tell("the engine is lost; coming back to its world")
                time.sleep(_PAUSE * 2 ** (tries - 1))

    @contextmanager
    def _connected(self) -> Iterator[Wire]:
        wire = Wire(self._engine, self._idle)
        try:
            message = init(self._scene, exact=self._exact)
            if self._key is not None:
                message |= {"resume": self._key, "have": self._got}
            wire.send(message)
            yield wire
        finally:
            wire.close()

    def _chunks(self, wire: Wire) -> Iterator[np.ndarray]:
        parts: list[np.ndarray] = []
        if not self._exact:
            self._ask(wire)
        while self._got < len(self._scene.controls):
            message = wire.receive()
            kind = message.get("type")
            if kind == "error":
                raise refused(message)
            if kind == "queue":
                self._tell(f"the engine is busy: place {message.get('position')} in line")
            elif kind == "session":
                self._key = str(message["resume"])
                self._said = int(message.get("controls", self._said))
                self._ask(wire)
            elif kind == "frame_batch":
                parts.append(frames_of(message, self._scene.height, self._scene.width))
                if message.get("is_final_frame_batch", True):
                    frames = np.concatenate(parts)
                    parts = []
                    control = self._scene.controls[self._got]
                    if len(frames) < control.frames:
                        raise StreamLostError(f"the engine sent {len(frames)} frames of {control.frames}")
                    self._got += 1
                    self._ask(wire)
                    yield frames[: control.frames]

    def _ask(self, wire: Wire) -> None:
        """Say what the coming chunks need and the server does not know yet."""
        controls = self._scene.controls
        if self._exact:
            while self._said < min(len(controls), self._got + _AHEAD):
                wire.send(control_event(self._said, controls[self._said]))
                self._said += 1
        elif 0 < self._got < len(controls) and controls[self._got].prompt != controls[self._got - 1].prompt:
            wire.send(prompt_event(self._got, controls[self._got].prompt))
