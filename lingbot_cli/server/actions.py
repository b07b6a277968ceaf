"""Camera actions as clients send them: letters held, one set a latent frame, or states with their moments."""

from dataclasses import dataclass
from typing import Any

from lingbot_cli.camera.keys import LETTERS
from lingbot_cli.server.protocol import Limits, ProtocolError

Keys = str
"""The letters held during a latent frame, each once, in the order of `LETTERS`."""

_EXPECTED = f"expected any of {' '.join(LETTERS)}"


@dataclass(frozen=True)
class ActionScript:
    """Actions for the latent frames to come, in order."""

    frames: tuple[Keys, ...]


@dataclass(frozen=True)
class ActionStates:
    """What was held after each change since the last message; the last is held on."""

    held: tuple[Keys, ...]


def parse_actions(payload: Any, limits: Limits) -> ActionScript | ActionStates:
    """The payload of a `camera_actions` event; Refusal with what is wrong."""
    if isinstance(payload, list):
        return ActionScript(tuple(parse_script(payload, limits)))
    if not isinstance(payload, dict) or payload.get("mode") != "state":
        raise ProtocolError(
            "bad_actions", "camera_actions must be a list of lists, or a map with mode 'state'"
        )
    transitions = payload.get("transitions")
    if not isinstance(transitions, list) or not transitions or len(transitions) > limits.script_frames:
        raise ProtocolError("bad_actions", "transitions must be a list of at least one change")
    held = []
    for change in transitions:
        if not isinstance(change, dict):
            raise ProtocolError("bad_actions", "a transition must be a map with 'actions'")
        held.append(_letters(change.get("actions")))
    return ActionStates(tuple(held))


def parse_script(payload: Any, limits: Limits) -> list[Keys]:
    """A script: one list of letters a latent frame."""
    if not isinstance(payload, list) or not all(isinstance(frame, list) for frame in payload):
        raise ProtocolError("bad_actions", "camera_actions must be a list of lists, one a latent frame")
    if len(payload) > limits.script_frames:
        raise ProtocolError("script_too_long", f"a script may have {limits.script_frames} latent frames")
    return [_letters(frame) for frame in payload]


def _letters(actions: Any) -> Keys:
    if not isinstance(actions, list):
        raise ProtocolError("bad_actions", "actions must be a list of letters")
    for action in actions:
        if not isinstance(action, str) or len(action) != 1 or action not in LETTERS:
            shown = action[:20] if isinstance(action, str) else type(action).__name__
            raise ProtocolError("unknown_action", f"unknown action '{shown}'; {_EXPECTED}")
    return "".join(letter for letter in LETTERS if letter in actions)
