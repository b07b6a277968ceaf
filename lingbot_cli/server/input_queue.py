"""Queue of client inputs, sampled once a chunk: newest prompt, newest script, held keys and taps."""

from collections import deque
from dataclasses import dataclass

from lingbot_cli.server.client_messages import ActionScript, ActionStates, Keys
from lingbot_cli.server.protocol import ClientLimits


@dataclass(frozen=True)
class SampledInput:
    """Inputs of one chunk. `prompt` is None where unchanged; `keys` has one entry a latent frame.

    `event_ids` are the events applied to the chunk, in the order of their arrival; `event_id` is the newest of
    all events whose effect holds during the chunk, applied to it or earlier.
    """

    prompt: str | None
    keys: tuple[Keys, ...]
    event_ids: tuple[int, ...]
    event_id: int | None = None


class InputQueue:
    """The newest prompt wins; a key state lasts, and each tap counts.

    A script replaces a key state and the rest of an earlier script; a key state replaces the rest of a script.
    """

    def __init__(self, script: list[Keys], limits: ClientLimits) -> None:
        self.held: Keys = ""
        self._limits = limits
        self._prompt: str | None = None
        self._script: deque[Keys] = deque(script)
        self._taps: deque[Keys] = deque()
        self._unsampled: set[str] = set()  # keys pressed since the last sample
        self._event_ids: list[int] = []
        self._in_force: dict[str, int | None] = {}  # event by what it set, the newest last

    def set_prompt(self, prompt: str, event_id: int | None = None) -> None:
        """Set the prompt of the next chunk."""
        self._prompt = prompt
        self._hold("prompt", event_id)

    def push_actions(self, actions: ActionScript | ActionStates, event_id: int | None = None) -> None:
        """Replace the camera actions by a script or a key state."""
        if isinstance(actions, ActionScript):
            self.held = ""
            self._unsampled.clear()
            self._taps.clear()
            self._script = deque(actions.frames)
        else:
            self._script.clear()
            for keys in actions.states:
                self._set_held(keys)
        self._in_force.pop("script", None)
        self._in_force.pop("state", None)
        self._hold("script" if isinstance(actions, ActionScript) else "state", event_id)

    def add_event(self, event_id: int | None) -> None:
        """Report an event with the next chunk."""
        if event_id is not None and event_id not in self._event_ids[-1:]:
            self._event_ids.append(event_id)

    def _hold(self, effect: str, event_id: int | None) -> None:
        """Record an event as the newest one in force."""
        self._in_force.pop(effect, None)
        self._in_force[effect] = event_id
        self.add_event(event_id)

    def sample(self, frames: int) -> SampledInput:
        """Take the inputs of the next chunk, which has `frames` latent frames."""
        if not self._script:
            self._in_force.pop("script", None)
        keys = [self._script.popleft() if self._script else self.held for _ in range(frames)]
        taps = min(frames, len(self._taps))
        keys[:taps] = [self._taps.popleft() for _ in range(taps)]
        if taps < frames:
            self._unsampled.clear()
        newest_first = [*self._event_ids[-1:], *reversed(self._in_force.values())]
        event_id = next((each for each in newest_first if each is not None), None)
        sampled = SampledInput(self._prompt, tuple(keys), tuple(self._event_ids), event_id)
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
