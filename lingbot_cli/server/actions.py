"""Camera actions as clients send them: letters held, one set a latent frame, or states with their moments."""

from dataclasses import dataclass
from typing import Any

from lingbot_cli.camera.keys import LETTERS
from lingbot_cli.server.protocol import Limits, Refusal

Letters = str
"""The letters held during a latent frame, each once, in the order of `LETTERS`."""

_EXPECTED = f"expected any of {' '.join(LETTERS)}"


@dataclass(frozen=True)
class Script:
    """Actions for the latent frames to come, in order."""

    frames: tuple[Letters, ...]


@dataclass(frozen=True)
class States:
    """What was held after each change since the last message; the last is held on."""

    held: tuple[Letters, ...]


def read_actions(payload: Any, limits: Limits) -> Script | States:
    """The payload of a `camera_actions` event; Refusal with what is wrong."""
    if isinstance(payload, list):
        return Script(tuple(read_script(payload, limits)))
    if not isinstance(payload, dict) or payload.get("mode") != "state":
        raise Refusal("bad_actions", "camera_actions must be a list of lists, or a map with mode 'state'")
    transitions = payload.get("transitions")
    if not isinstance(transitions, list) or not transitions or len(transitions) > limits.script_frames:
        raise Refusal("bad_actions", "transitions must be a list of at least one change")
    held = []
    for change in transitions:
        if not isinstance(change, dict):
            raise Refusal("bad_actions", "a transition must be a map with 'actions'")
        held.append(_letters(change.get("actions")))
    return States(tuple(held))


def read_script(payload: Any, limits: Limits) -> list[Letters]:
    """A script: one list of letters a latent frame."""
    if not isinstance(payload, list) or not all(isinstance(frame, list) for frame in payload):
        raise Refusal("bad_actions", "camera_actions must be a list of lists, one a latent frame")
    if len(payload) > limits.script_frames:
        raise Refusal("script_too_long", f"a script may have {limits.script_frames} latent frames")
    return [_letters(frame) for frame in payload]


def _letters(actions: Any) -> Letters:
    if not isinstance(actions, list):
        raise Refusal("bad_actions", "actions must be a list of letters")
    for action in actions:
        if not isinstance(action, str) or len(action) != 1 or action not in LETTERS:
            shown = action[:20] if isinstance(action, str) else type(action).__name__
            raise Refusal("unknown_action", f"unknown action '{shown}'; {_EXPECTED}")
    return "".join(letter for letter in LETTERS if letter in actions)
