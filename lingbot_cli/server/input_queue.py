"""What clients have said and no chunk has heard yet: a queue a kind, sampled once a chunk."""

from collections import deque
from dataclasses import dataclass

from lingbot_cli.server.actions import ActionScript, ActionStates, Keys
from lingbot_cli.server.protocol import Limits, ProtocolError


@dataclass(frozen=True)
class SampledInput:
    """What one chunk is told. `prompt` is None where it has not changed; `keys` has one entry a latent frame.

    `event_ids` are the events it heard, in the order they came.
    """

    prompt: str | None
    keys: tuple[Keys, ...]
    event_ids: tuple[int, ...]


class InputQueue:
    """The newest prompt wins; scripts are first in, first out; a state is held and its taps count.

    A script replaces a state and a state replaces what is left of a script.
    """

    def __init__(self, script: list[Keys], limits: Limits) -> None:
        self.held: Keys = ""
        self._limits = limits
        self._prompt: str | None = None
        self._script: deque[Keys] = deque(script)
        self._taps: deque[Keys] = deque()
        self._unheard: set[str] = set()
        self._heard: list[int] = []

    def say(self, prompt: str, event_id: int | None = None) -> None:
        """A prompt for the next chunk."""
        self._prompt = prompt
        self.hear(event_id)

    def act(self, actions: ActionScript | ActionStates, event_id: int | None = None) -> None:
        """Camera actions for the next latent frames; Refusal when more wait than a script may hold."""
        if isinstance(actions, ActionScript):
            if len(self._script) + len(actions.frames) > self._limits.script_frames:
                raise ProtocolError(
                    "script_too_long", f"{self._limits.script_frames} latent frames wait already"
                )
            self.held = ""
            self._unheard.clear()
            self._taps.clear()
            self._script.extend(actions.frames)
        else:
            self._script.clear()
            for letters in actions.held:
                self._hold(letters)
        self.hear(event_id)

    def hear(self, event_id: int | None) -> None:
        """Remember an event for the chunk that will use it."""
        if event_id is not None:
            self._heard.append(event_id)

    def sample(self, frames: int) -> SampledInput:
        """What the next chunk of so many latent frames is told; it is not told again."""
        keys = [self._script.popleft() if self._script else self.held for _ in range(frames)]
        taps = min(frames, len(self._taps))
        keys[:taps] = [self._taps.popleft() for _ in range(taps)]
        if taps < frames:
            self._unheard.clear()
        sampled = SampledInput(self._prompt, tuple(keys), tuple(self._heard))
        self._prompt = None
        self._heard.clear()
        return sampled

    def _hold(self, letters: Keys) -> None:
        """What was pressed and is released again before any chunk heard it gets a latent frame of its own."""
        released = self._unheard - set(letters)
        if released and len(self._taps) < self._limits.script_frames:
            self._taps.append(self.held)
        self._unheard = (self._unheard - released) | (set(letters) - set(self.held))
        self.held = letters
