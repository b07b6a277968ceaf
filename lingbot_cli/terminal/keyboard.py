"""Keyboard of a terminal, which reports presses and repeats of a key but no release."""

import re

from lingbot_cli.camera.keys import LETTERS

_ARROWS = {"A": "i", "B": "k", "C": "l", "D": "j"}
_KEY = re.compile(r"\x1b\[[0-9;]*([A-Za-z~])|\x1bO([A-Z])|(\x1b)|(.)", re.S)
# A terminal repeats a held key after half a second, then fast.
HOLD_FIRST_S, HOLD_REPEAT_S = 0.6, 0.2


def parse_keys(text: str) -> list[str]:
    """Return the keys pressed, in order; arrows as the letters that look the same way."""
    keys = []
    for sequence, application, escape, character in _KEY.findall(text):
        arrow = _ARROWS.get(sequence or application)
        if arrow or escape or character:
            keys.append(arrow or escape or character)
    return keys


class HeldKeys:
    """Keys that count as held: for a while after the first press, and as long as they repeat."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def press(self, letter: str, now: float) -> None:
        """Record a press or a repeat at monotonic second `now`."""
        until = self._until.get(letter, 0.0)
        self._until[letter] = max(until, now + HOLD_REPEAT_S) if until > now else now + HOLD_FIRST_S

    def letters(self, now: float) -> str:
        """Return the letters held at `now`, in the order of `LETTERS`."""
        self._until = {letter: until for letter, until in self._until.items() if until > now}
        return "".join(letter for letter in LETTERS if letter in self._until)

    def release_all(self) -> None:
        self._until.clear()
