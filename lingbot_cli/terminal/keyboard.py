"""Keys of a terminal, which tells when one is pressed but never when it is let go."""

import re

from lingbot_cli.camera.keys import LETTERS

_ARROWS = {"A": "i", "B": "k", "C": "l", "D": "j"}
_KEY = re.compile(r"\x1b\[[0-9;]*([A-Za-z~])|\x1bO([A-Z])|(\x1b)|(.)", re.S)
# A terminal repeats a held key after half a second, then fast.
HOLD_FIRST_S, HOLD_REPEAT_S = 0.6, 0.2


def parse_keys(text: str) -> list[str]:
    """What was pressed, in order: a letter or another character, arrows as the letters they stand for."""
    found = []
    for sequence, application, escape, character in _KEY.findall(text):
        arrow = _ARROWS.get(sequence or application)
        if arrow or escape or character:
            found.append(arrow or escape or character)
    return found


class HeldKeys:
    """Letters that count as held: for a while after the first press, and as long as they repeat."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def press(self, letter: str, now: float) -> None:
        """A letter was pressed, or repeated, at monotonic second `now`."""
        until = self._until.get(letter, 0.0)
        self._until[letter] = max(until, now + HOLD_REPEAT_S) if until > now else now + HOLD_FIRST_S

    def letters(self, now: float) -> str:
        """The letters held at `now`, in the order of `LETTERS`."""
        self._until = {letter: until for letter, until in self._until.items() if until > now}
        return "".join(letter for letter in LETTERS if letter in self._until)

    def release(self) -> None:
        """Let all go."""
        self._until.clear()
