"""Keys of a terminal, which tells when one is pressed but never when it is let go."""

import re

from lingbot_cli.camera.keys import LETTERS

_ARROWS = {"A": "i", "B": "k", "C": "l", "D": "j"}
_KEY = re.compile(r"\x1b\[[0-9;]*([A-Za-z~])|\x1bO([A-Z])|(\x1b)|(.)", re.S)
FIRST, AGAIN = 0.6, 0.2  # seconds a key counts as held: terminals repeat after half a second, then fast


def keys_of(text: str) -> list[str]:
    """What was pressed, in order: a letter or another character, arrows as the letters they stand for."""
    found = []
    for sequence, application, escape, character in _KEY.findall(text):
        arrow = _ARROWS.get(sequence or application)
        if arrow or escape or character:
            found.append(arrow or escape or character)
    return found


class Held:
    """Letters that count as held: for a while after the first press, and as long as they repeat."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def press(self, letter: str, now: float) -> None:
        """A letter was pressed, or repeated, at monotonic second `now`."""
        until = self._until.get(letter, 0.0)
        self._until[letter] = max(until, now + AGAIN) if until > now else now + FIRST

    def letters(self, now: float) -> str:
        """The letters held at `now`, in the order of `LETTERS`."""
        self._until = {letter: until for letter, until in self._until.items() if until > now}
        return "".join(letter for letter in LETTERS if letter in self._until)

    def release(self) -> None:
        """Let all go."""
        self._until.clear()
