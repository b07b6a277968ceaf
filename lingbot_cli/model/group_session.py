"""Sessions that a process group renders together: the leader sends its sessions' calls, followers repeat them.

A call is repeated with the same arguments, so every process reaches the same collective operations in the same order.
Prompts are encoded by the leader alone.
"""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import numpy as np
from torch import Tensor

from lingbot_cli.control import Control
from lingbot_cli.errors import LingbotError, SetupError
from lingbot_cli.model.process_group import PeerLostError, before_disconnect, broadcast_object
from lingbot_cli.model.session import OnClean, Session
from lingbot_cli.model.world_model import PromptEncoder, WorldModel

KEEP_ALIVE_INTERVAL_S = 600.0
"""Time between two messages to followers, less than the group's timeout."""
STOP_TIMEOUT_S = 10.0


class LeaderFailedError(Exception):
    """The leader could not encode a prompt; its own error is reported there."""


class GroupLeader:
    """The leader's side of the group: one call at a time, each sent before it is run.

    `failed` after a call that ended in the middle: the processes are out of step, and every later call is refused.
    """

    def __init__(self) -> None:
        self.failed = False
        self._lock = threading.Lock()
        self._count = 0
        self._released: SimpleQueue[int] = SimpleQueue()
        self._ended = threading.Event()
        before_disconnect(self.stop)
        threading.Thread(target=self._keep_alive, name="keep-alive", daemon=True).start()

    @contextmanager
    def calling(self, session: int, method: str, *args: object) -> Iterator[None]:
        """Send a call, and hold the group while the block runs the leader's own."""
        with self._lock:
            self.check()
            try:
                broadcast_object((self._take_released(), session, method, args))
                yield
            except BaseException as error:
                # Our errors are raised alike in every process, before anything was exchanged.
                self.failed = isinstance(error, PeerLostError) or not isinstance(error, LingbotError)
                raise

    def check(self) -> None:
        """Raise SetupError if the processes are out of step."""
        if self.failed:
            raise SetupError(
                "a chunk failed on one of the GPUs, and the others wait for it",
                hint="start again; see the error above",
            )

    def new_id(self) -> int:
        """Return the number of a new session."""
        self._count += 1
        return self._count

    def release(self, session: int) -> None:
        """Free a session on the followers, before the next call."""
        self._released.put(session)

    def stop(self) -> None:
        """Let the followers leave the group; gives up on a call that does not end."""
        self._ended.set()
        if self._lock.acquire(timeout=STOP_TIMEOUT_S):
            if not self.failed:
                broadcast_object(None)
            self.failed = True
            self._lock.release()

    def _take_released(self) -> list[int]:
        return [self._released.get() for _ in range(self._released.qsize())]

    def _keep_alive(self) -> None:
        while not self._ended.wait(KEEP_ALIVE_INTERVAL_S):
            with self._lock:
                if not self.failed:
                    broadcast_object((self._take_released(), 0, "", ()))


class SharedSession(Session):
    """A session on the leader, whose chunks all processes denoise; it decodes alone."""

    def __init__(self, leader: GroupLeader, model: WorldModel, image: np.ndarray, **settings: Any) -> None:
        super().__init__(model, image, **settings)  # first: a wrong size is refused here alone
        self._leader, self._id = leader, leader.new_id()
        preset = model.preset
        with leader.calling(self._id, "start", image, preset.window, preset.sink, settings):
            weakref.finalize(self, leader.release, self._id)

    def denoise(self, control: Control, on_clean: OnClean | None = None) -> Tensor:
        with self._leader.calling(self._id, "denoise", control):
            return super().denoise(control, on_clean)

    def set_window(self, frames: int) -> None:
        with self._leader.calling(self._id, "set_window", frames):
            super().set_window(frames)


class LeaderPrompts:
    """Prompt encoder of the leader; sends every result to the followers, which wait for it at the same call."""

    def __init__(self, encoder: PromptEncoder) -> None:
        self._encoder = encoder

    def encode(self, prompt: str) -> Tensor:
        try:
            embeddings = self._encoder.encode(prompt)
        except BaseException:
            broadcast_object(None)
            raise
        broadcast_object(embeddings)
        return embeddings


class FollowerPrompts:
    """Prompt encoder of a follower: receives what the leader encoded."""

    def encode(self, prompt: str) -> Tensor:  # noqa: ARG002 - the leader has the same prompt
        embeddings = broadcast_object(None)
        if not isinstance(embeddings, Tensor):
            raise LeaderFailedError
        return embeddings


def open_session(model: WorldModel, image: np.ndarray, **settings: Any) -> Session:
    """Return a new session of the model, shared by its process group if it has one."""
    if model.leader is None:
        return Session(model, image, **settings)
    return SharedSession(model.leader, model, image, **settings)


def lead(model: WorldModel) -> WorldModel:
    """Return the leader's model, whose sessions the followers share."""
    return replace(model, leader=GroupLeader(), text_encoder=LeaderPrompts(model.text_encoder))


def follow(model: WorldModel) -> None:
    """Repeat the leader's calls until it stops, or is gone."""
    model = replace(model, text_encoder=FollowerPrompts())
    sessions: dict[int, Session] = {}
    while (message := _receive()) is not None:
        released, session, method, args = message
        for each in released:
            sessions.pop(each, None)
        try:
            if method == "start":
                image, window, sink, settings = args
                preset = replace(model.preset, window=window, sink=sink)
                sessions[session] = Session(replace(model, preset=preset), image, **settings)
            elif method == "denoise":
                sessions[session].denoise(*args)
            elif method == "set_window":
                sessions[session].set_window(*args)
        except (LeaderFailedError, LingbotError):
            continue  # the leader has the same error, and reports it


def _receive() -> Any:
    """Return the leader's next message; None if the leader is gone."""
    try:
        return broadcast_object(None)
    except PeerLostError:
        return None
