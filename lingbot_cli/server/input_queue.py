"""Queue of client inputs, sampled once a chunk: newest prompt, scripts in order, held keys and taps."""

from collections import deque
from dataclasses import dataclass

from lingbot_cli.server.client_messages import ActionScript, ActionStates, Keys
from lingbot_cli.server.protocol import ClientLimits, ProtocolError


@dataclass(frozen=True)
class SampledInput:
    """Inputs of one chunk. `prompt` is None where unchanged; `keys` has one entry a latent frame.

    `event_ids` are the events applied to the chunk, in the order of their arrival.
    """

    prompt: str | None
    keys: tuple[Keys, ...]
    event_ids: tuple[int, ...]


class InputQueue:
    """The newest prompt wins; scripts are first in, first out; a key state lasts, and each tap counts.

    A script replaces a key state and a key state replaces the rest of a script.
    """

    def __init__(self, script: list[Keys], limits: ClientLimits) -> None:
        self.held: Keys = ""
        self._limits = limits
        self._prompt: str | None = None
        self._script: deque[Keys] = deque(script)
        self._taps: deque[Keys] = deque()
        self._unsampled: set[str] = set()  # keys pressed since the last sample
        self._event_ids: list[int] = []

    def set_prompt(self, prompt: str, event_id: int | None = None) -> None:
        """Set the prompt of the next chunk."""
        self._prompt = prompt
        self.add_event(event_id)

    def push_actions(self, actions: ActionScript | ActionStates, event_id: int | None = None) -> None:
        """Queue camera actions. Errors: ProtocolError when more latent frames wait than a script may have."""
        if isinstance(actions, ActionScript):
            if len(self._script) + len(actions.frames) > self._limits.max_script_frames:
                raise ProtocolError(
                    "script_too_long", f"at most {self._limits.max_script_frames} latent frames may be queued"
                )
            self.held = ""
            self._unsampled.clear()
            self._taps.clear()
            self._script.extend(actions.frames)
        else:
            self._script.clear()
            for keys in actions.states:
                self._set_held(keys)
        self.add_event(event_id)

    def add_event(self, event_id: int | None) -> None:
        """Report an event with the next chunk."""
        if event_id is not None:
            self._event_ids.append(event_id)

    def sample(self, frames: int) -> SampledInput:
        """Take the inputs of the next chunk, which has `frames` latent frames."""
        keys = [self._script.popleft() if self._script else self.held for _ in range(frames)]
        taps = min(frames, len(self._taps))
        keys[:taps] = [self._taps.popleft() for _ in range(taps)]
        if taps < frames:
            self._unsampled.clear()
        sampled = SampledInput(self._prompt, tuple(keys), tuple(self._event_ids))
        self._prompt = None
        self._event_ids.clear()
        return sampled

    def _set_held(self, keys: Keys) -> None:
        """Hold these keys; a key released before it was sampled gets a latent frame of its own."""
        released = self._unsampled - set(keys)
        if released and len(self._taps) < self._limits.max_script_frames:
            self._taps.append(self.held)
        self._unsampled = (self._unsampled - released) | (set(keys) - set(self.held))
        self.held = keys
