"""A living world: what one client plays in, from its first frame until it is left."""

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from lingbot_cli.control import Control
from lingbot_cli.server.actions import Keys
from lingbot_cli.server.client_events import CameraTurn, ExactControl
from lingbot_cli.server.input_queue import InputQueue, SampledInput
from lingbot_cli.server.input_to_control import CameraController, StepController, TimelineController
from lingbot_cli.server.protocol import Limits, ProtocolError
from lingbot_cli.timeline.schema import CameraSettings

if TYPE_CHECKING:
    from lingbot_cli.model.session import Session

MAX_QUEUED_CONTROLS = 8
MAX_RESENT_CHUNKS = 4  # chunks that were sent, for a client that did not get them


@dataclass(frozen=True, eq=False)
class SessionSettings:
    """What a world begins with. `picture` [H, W, 3] uint8; sizes in pixels.

    `camera` moves it as a timeline does, else by the published steps; `exact` by `control` events alone.
    """

    picture: np.ndarray
    prompt: str
    height: int
    width: int
    fps: float
    seed: int
    camera: CameraSettings | None = None
    exact: bool = False
    scale: float | None = None
    script: tuple[Keys, ...] = ()
    max_chunks: int | None = None


SessionFactory = Callable[[SessionSettings, float], "Session"]
"""Makes a fresh session of a setting and a scale; called on the world's own thread."""


@dataclass(frozen=True, eq=False)
class ChunkInput:
    """What one chunk was told: its Control and the events it has heard."""

    control: Control
    event_ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ChunkOutput:
    """A chunk that is ready: `frames` [T, H, W, 3] uint8, `seconds` it took."""

    index: int
    frames: np.ndarray
    told: ChunkInput
    seconds: float


@dataclass(frozen=True, eq=False)
class RenderResult:
    """What the world's thread hands back: the chunk, and the session that goes on from it."""

    generation: int
    session: "Session"
    made: ChunkOutput


class PlaySession:
    """Conditions come in from its client; chunks go out, each kept until it has been sent whole."""

    def __init__(self, setting: SessionSettings, chunk: int, begin: SessionFactory, limits: Limits) -> None:
        self.key = secrets.token_urlsafe(18)
        self.unsent: deque[ChunkOutput] = deque()
        self._recent: deque[ChunkOutput] = deque(maxlen=MAX_RESENT_CHUNKS)
        self._chunk = chunk
        self._begin = begin
        self._limits = limits
        self._generation = 0
        self.restart(setting)

    def restart(self, setting: SessionSettings) -> None:
        """Begin anew from a setting; what was said before is forgotten."""
        self._generation += 1
        self.setting = setting
        self.unsent.clear()
        self._recent.clear()
        self.index = 0
        self.sent_frames = 0
        self.directed = 0
        self.paused = False
        self.conditions = InputQueue(list(setting.script), self._limits)
        self.steering = self._steering(setting)
        self._looks: list[CameraTurn] = []
        self._exact: deque[tuple[ExactControl, int | None]] = deque()
        self._session: Session | None = None

    def reset(self, seed: int | None, prompt: str | None) -> None:
        """The same world from its first frame, with another seed or prompt where given."""
        setting = self.setting
        if seed is not None:
            setting = replace(setting, seed=seed)
        if prompt is not None:
            setting = replace(setting, prompt=prompt)
        self.restart(replace(setting, script=()))

    def look(self, look: CameraTurn, event_id: int | None) -> None:
        """A turn for the next chunk."""
        self._looks.append(look)
        self.conditions.hear(event_id)

    def direct(self, exact: ExactControl, event_id: int | None) -> None:
        """One whole chunk's poses; Refusal when the world is not steered so, or too many wait."""
        if not self.setting.exact:
            raise ProtocolError("unsupported", "control events need an init with controls: true")
        if len(exact.poses) != self._chunk:
            raise ProtocolError(
                "bad_event", f"control needs {self._chunk} poses, one a latent frame of a chunk"
            )
        if len(self._exact) >= MAX_QUEUED_CONTROLS:
            raise ProtocolError("too_fast", f"{MAX_QUEUED_CONTROLS} controls wait already")
        self._exact.append((exact, event_id))
        self.directed += 1

    @property
    def finished(self) -> bool:
        """Whether all the chunks that were asked for are made."""
        return self.setting.max_chunks is not None and self.index >= self.setting.max_chunks

    @property
    def ready(self) -> bool:
        """Whether the next chunk can be told something."""
        return not self.paused and not self.finished and (not self.setting.exact or bool(self._exact))

    def tell(self) -> ChunkInput:
        """What the next chunk is told, taken from all that was said until now."""
        if self.setting.exact:
            exact, event_id = self._exact.popleft()
            control = Control(
                exact.poses,
                exact.intrinsics,
                exact.actions,
                exact.prompt,
                4 * self._chunk,
                recache=exact.recache,
            )
            return ChunkInput(control, () if event_id is None else (event_id,))
        sampled: SampledInput = self.conditions.sample(self._chunk)
        looks, self._looks = self._looks, []
        return ChunkInput(self.steering.control(sampled, looks), sampled.event_ids)

    def work(self, told: ChunkInput) -> Callable[[], "RenderResult"]:
        """How the chunk that was told so is made; the world's own thread calls it, and nothing else does."""
        generation, index, session, setting = self._generation, self.index, self._session, self.setting
        scale = setting.scale or self.steering.scale

        def make() -> RenderResult:
            began = perf_counter()
            living = session if session is not None else self._begin(setting, scale)
            frames = living.step(told.control).cpu().numpy()
            return RenderResult(generation, living, ChunkOutput(index, frames, told, perf_counter() - began))

        return make

    def take(self, work: "RenderResult") -> ChunkOutput | None:
        """Keep what was made for sending; None when the world was begun anew meanwhile."""
        if work.generation != self._generation:
            return None
        self._session = work.session
        self.index += 1
        self.unsent.append(work.made)
        return work.made

    def sent(self, made: ChunkOutput) -> None:
        """A chunk is out, whole; unless the world was begun anew meanwhile, it is not sent again."""
        if self.unsent and self.unsent[0] is made:
            self._recent.append(self.unsent.popleft())
            self.sent_frames += len(made.frames)

    def rewind(self, have: int) -> bool:
        """Send again what a client that has its first `have` chunks did not get; False when that is forgotten."""
        lost = [made for made in self._recent if made.index >= have]
        first = min([made.index for made in (*lost, *self.unsent)], default=self.index)
        self._recent = deque((made for made in self._recent if made.index < have), maxlen=MAX_RESENT_CHUNKS)
        self.unsent.extendleft(reversed(lost))
        self.sent_frames -= sum(len(made.frames) for made in lost)
        return first == have

    def _steering(self, setting: SessionSettings) -> CameraController:
        if setting.camera is None or setting.exact:
            return StepController(setting.prompt)
        header = {
            "prompt": setting.prompt or None,
            "seed": setting.seed,
            "size": f"{setting.width}x{setting.height}",
            "fps": round(setting.fps),
            "camera": setting.camera.model_dump(exclude_none=True),
        }
        return TimelineController(
            self._chunk, {key: value for key, value in header.items() if value is not None}
        )
