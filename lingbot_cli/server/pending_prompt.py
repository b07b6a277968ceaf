"""Prompt of a play session that is encoded aside, while the session continues under the one before."""

from collections.abc import Callable
from concurrent.futures import Future

PreparePrompt = Callable[[str], "Future[None] | None"]
"""Encodes a prompt aside; None once sessions can take it without waiting."""


class PendingPrompt:
    """The newest prompt that a session was sent; one is encoded at a time, however many come."""

    def __init__(self, prepare: PreparePrompt) -> None:
        self._prepare = prepare
        self._text: str | None = None
        self._event_ids: list[int | None] = []
        self._encoded: str | None = None  # the prompt of `_encoding`
        self._encoding: Future[None] | None = None

    def __bool__(self) -> bool:
        return self._text is not None

    def set(self, text: str, event_id: int | None) -> None:
        """Replace the pending prompt."""
        self._text = text
        self._event_ids.append(event_id)

    def take(self) -> tuple[str, list[int | None]] | None:
        """Return the prompt once it is encoded, with its event after those of the prompts that it replaced.

        Errors: those of its encoding, which drop it.
        """
        if self._text is None or (self._encoding is not None and not self._encoding.done()):
            return None
        if self._encoded != self._text or self._encoding is None:
            self._encoded, self._encoding = self._text, self._prepare(self._text)
            if self._encoding is not None:
                return None
        taken, encoding = (self._text, self._event_ids), self._encoding
        self._text, self._event_ids, self._encoding = None, [], None
        if encoding is not None:
            encoding.result()
        return taken
