"""Play session of one client: applies events, renders chunk by chunk, keeps chunks until they are sent."""

import secrets
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from lingbot_cli.control import Control
from lingbot_cli.render.pipeline import check_latents
from lingbot_cli.server.client_events import (
    CameraTurn,
    ClientEvent,
    CompositeInput,
    PromptChange,
    Reset,
    SessionCommand,
    WindowChange,
)
from lingbot_cli.server.client_messages import ActionScript, ActionStates, Keys, check_prompt
from lingbot_cli.server.input_queue import InputQueue
from lingbot_cli.server.input_to_control import camera_controller
from lingbot_cli.server.pending_prompt import PendingPrompt, PreparePrompt
from lingbot_cli.server.protocol import ClientLimits, ProtocolError
from lingbot_cli.timeline.schema import CameraSettings

if TYPE_CHECKING:
    from lingbot_cli.model.session import Session
    from lingbot_cli.model.transfer import AsyncCopy

MAX_QUEUED_CONTROLS = 8
MAX_RESENT_CHUNKS = 4  # sent chunks to send again to a client that reconnects without them


@dataclass(frozen=True, eq=False)
class SessionSettings:
    """Initial settings. `image` [H, W, 3] uint8; sizes in pixels.

    `camera` moves it as a timeline does, None by published steps; `exact` takes poses from `control` events;
    `windows` are the attention windows in latent frames that `window` events may set.
    """

    image: np.ndarray
    prompt: str
    height: int
    width: int
    fps: float
    seed: int
    camera: CameraSettings | None = None
    exact: bool = False
    windows: range = range(0)
    scale: float | None = None
    script: tuple[Keys, ...] = ()
    max_chunks: int | None = None


Encoding = Future[None] | None
SessionFactory = Callable[[SessionSettings, float], "Session"]
"""Creates the model's session from settings and a translation scale; called on the render thread."""


@dataclass(frozen=True, eq=False)
class ChunkInput:
    """Control of one chunk, the ids of the events applied to it and the newest event in force.

    `window`: the attention window from this chunk on, None to leave it.
    """

    control: Control
    event_ids: tuple[int, ...]
    event_id: int | None = None
    window: int | None = None


@dataclass(frozen=True, eq=False)
class ChunkOutput:
    """Rendered chunk: `frames` [T, H, W, 3] uint8; its input took `prepare_s` seconds, its render `render_s`."""

    index: int
    frames: np.ndarray
    input: ChunkInput
    render_s: float
    prepare_s: float = 0.0


@dataclass(frozen=True, eq=False)
class RenderTaskResult:
    """Result of the render thread: the chunk, and the model session that renders the next one."""

    generation: int
    session: "Session"
    chunk: ChunkOutput
    device_bytes: int


class PlaySession:
    """Events change the next chunk; `unsent` holds rendered chunks until they are sent whole.

    `device_bytes`: of the model's session, an estimate before its first chunk.
    """

    def __init__(
        self,
        settings: SessionSettings,
        chunk_latents: int,
        factory: SessionFactory,
        limits: ClientLimits,
        resume_key: str = "",
        prepare_prompt: PreparePrompt = lambda *_: None,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.device_bytes = 0
        self.resume_key = resume_key
        self.unsent: deque[ChunkOutput] = deque()
        self._sent: deque[ChunkOutput] = deque(maxlen=MAX_RESENT_CHUNKS)
        self._chunk_latents = chunk_latents
        self._factory = factory
        self._limits = limits
        self.prepare_prompt = prepare_prompt
        self._generation = 0
        self.restart(settings)

    def restart(self, settings: SessionSettings) -> None:
        """Start over with these settings; earlier inputs are dropped."""
        self._generation += 1
        self.settings = settings
        self.unsent.clear()
        self._sent.clear()
        self.chunk_index = 0
        self.sent_frames = 0
        self.control_count = 0
        self.paused = False
        self.inputs = InputQueue(list(settings.script), self._limits)
        self.controller = camera_controller(settings, self._chunk_latents)
        self._turns: list[CameraTurn] = []
        self._window: int | None = None
        self._controls: deque[tuple[Control, int | None, Encoding]] = deque()
        self.pending_prompt = PendingPrompt(self.prepare_prompt, self.inputs)
        self._next_encoding: tuple[str, Encoding] = (
            settings.prompt,
            None if settings.exact else self.prepare_prompt(settings.prompt),
        )  # of the first prompt, or of the control sent last
        self._session: Session | None = None

    def reset(self, seed: int | None, prompt: str | None) -> None:
        """Start over from the first frame, with another seed or prompt where given."""
        settings = self.settings
        if seed is not None:
            settings = replace(settings, seed=seed)
        if prompt is not None:
            settings = replace(settings, prompt=prompt)
        self.restart(replace(settings, script=()))

    def apply(self, event: ClientEvent) -> None:
        """Apply a client event; a ProtocolError leaves the session as it was."""
        payload, event_id = event.payload, event.id
        match payload:
            case PromptChange():
                self.pending_prompt.set(payload.text, event_id)
            case ActionScript() | ActionStates():
                self.inputs.push_actions(payload, event_id)
            case CompositeInput():
                if payload.actions is not None:
                    self.inputs.push_actions(payload.actions, event_id)
                if payload.prompt is not None:
                    self.pending_prompt.set(payload.prompt.text, event_id)
                self.inputs.add_event(event_id)
            case CameraTurn():
                self._turns.append(payload)
                self.inputs.add_event(event_id)
            case WindowChange():
                self._change_window(payload.frames)
                self.inputs.add_event(event_id)
            case Control():
                self._push_control(payload, event_id)
            case Reset():
                if payload.prompt is not None:
                    check_prompt(payload.prompt, self._limits)
                self.reset(payload.seed, payload.prompt)
                self.inputs.add_event(event_id)
            case SessionCommand(kind="pause" | "resume"):
                self.paused = payload.kind == "pause"
                self.inputs.add_event(event_id)
            case _:
                self.inputs.add_event(event_id)

    def _change_window(self, frames: int) -> None:
        windows = self.settings.windows
        if not windows:
            raise ProtocolError("unsupported", "this model's window cannot be changed")
        if frames not in windows:
            raise ProtocolError(
                "bad_event", f"window: frames must be {windows[0]} to {windows[-1]} here, not {frames}"
            )
        self._window = frames

    def _push_control(self, control: Control, event_id: int | None) -> None:
        if not self.settings.exact:
            raise ProtocolError("unsupported", "control events need an init with controls: true")
        if len(control.poses) != self._chunk_latents:
            raise ProtocolError(
                "bad_event", f"control needs {self._chunk_latents} poses, one a latent frame of a chunk"
            )
        if len(self._controls) >= MAX_QUEUED_CONTROLS:
            raise ProtocolError("too_fast", f"at most {MAX_QUEUED_CONTROLS} controls may be queued")
        if not self.control_count or control.prompt != self._next_encoding[0]:
            encoding = self.prepare_prompt(control.prompt)
            self._next_encoding = control.prompt, encoding
        self._controls.append((control, event_id, self._next_encoding[1]))
        self.control_count += 1

    @property
    def finished(self) -> bool:
        """True when `max_chunks` are rendered."""
        return self.settings.max_chunks is not None and self.chunk_index >= self.settings.max_chunks

    @property
    def ready(self) -> bool:
        """True when the next chunk can be rendered."""
        if self.paused or self.finished or (self.settings.exact and not self._controls):
            return False
        return self.encoding is None

    @property
    def encoding(self) -> Encoding:
        """The encoding of a prompt that the next chunk waits for."""
        if self.settings.exact:
            encoding = self._controls[0][2] if self._controls else None
        else:
            encoding = self._next_encoding[1] if self.chunk_index == 0 else None
        return None if encoding is None or encoding.done() else encoding

    def next_input(self) -> ChunkInput:
        """Take the next chunk's input from the events so far; errors of the encoding of its prompt are raised."""
        window, self._window = self._window, None
        if self.settings.exact:
            control, event_id, encoding = self._controls.popleft()
            _wait_for(encoding)
            return ChunkInput(control, () if event_id is None else (event_id,), event_id, window)
        _wait_for(self._next_encoding[1])
        self.pending_prompt.apply()
        sampled = self.inputs.sample(self._chunk_latents)
        turns, self._turns = self._turns, []
        control = self.controller.control(sampled, turns)
        return ChunkInput(control, sampled.event_ids, sampled.event_id, window)

    def render_task(self, chunk_input: ChunkInput, prepare_s: float = 0.0) -> Callable[[], RenderTaskResult]:
        """Return the function that renders a chunk; one thread at a time may call it.

        After a failure it may be called again, and renders the same chunk.
        """
        generation, index = self._generation, self.chunk_index
        session, settings = self._session, self.settings
        scale = settings.scale or self.controller.scale
        started: tuple[AsyncCopy, AsyncCopy] | None = None

        def render() -> RenderTaskResult:
            nonlocal session, started
            start = perf_counter()
            if session is None:
                session = self._factory(settings, scale)
            if started is None:
                if chunk_input.window is not None:
                    session.set_window(chunk_input.window)
                started = session.start(chunk_input.control)
            latents, frames = started
            pixels = frames.numpy()
            check_latents(latents.numpy(), session, index)
            chunk = ChunkOutput(index, pixels, chunk_input, perf_counter() - start, prepare_s)
            return RenderTaskResult(generation, session, chunk, session.nbytes)

        return render

    def accept(self, result: RenderTaskResult) -> ChunkOutput | None:
        """Queue a rendered chunk for sending; None when the session was restarted since."""
        if result.generation != self._generation:
            return None
        self._session, self.device_bytes = result.session, result.device_bytes
        self.chunk_index += 1
        self.unsent.append(result.chunk)
        return result.chunk

    @property
    def host_bytes(self) -> int:
        """Bytes of the chunks that are held to be sent, again or for the first time, and of the first image."""
        held = sum(chunk.frames.nbytes for chunk in (*self.unsent, *self._sent))
        return held + self.settings.image.nbytes

    def mark_sent(self, chunk: ChunkOutput) -> None:
        """Move a chunk that was sent whole out of `unsent`, unless the session was restarted since."""
        if self.unsent and self.unsent[0] is chunk:
            self._sent.append(self.unsent.popleft())
            self.sent_frames += len(chunk.frames)

    def rewind(self, received: int) -> bool:
        """Queue the chunks after the first `received` again; False when one is no longer held."""
        lost = [chunk for chunk in self._sent if chunk.index >= received]
        first = min([chunk.index for chunk in (*lost, *self.unsent)], default=self.chunk_index)
        self._sent = deque(
            (chunk for chunk in self._sent if chunk.index < received), maxlen=MAX_RESENT_CHUNKS
        )
        self.unsent.extendleft(reversed(lost))
        self.sent_frames -= sum(len(chunk.frames) for chunk in lost)
        return first == received


def _wait_for(encoding: Encoding) -> None:
    if encoding is not None:
        encoding.result()
