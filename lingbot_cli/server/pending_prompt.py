"""Prompt of a play session that is encoded aside, while the session continues under the one before."""

from collections.abc import Callable
from concurrent.futures import Future

from lingbot_cli.server.input_queue import InputQueue

PreparePrompt = Callable[[str], "Future[None] | None"]
"""Encodes a prompt aside; None once sessions can take it without waiting."""


class PendingPrompt:
    """The newest prompt that a session was sent, on its way to the inputs of a chunk.

    One is encoded at a time, however many come.
    """

    def __init__(self, prepare: PreparePrompt, inputs: InputQueue) -> None:
        self._prepare = prepare
        self._inputs = inputs
        self._text: str | None = None
        self._event_ids: list[int | None] = []
        self._encoded: str | None = None  # the prompt of `_encoding`
        self._encoding: Future[None] | None = None
        self._error: Exception | None = None

    def __bool__(self) -> bool:
        return self._text is not None

    def set(self, text: str, event_id: int | None = None) -> None:
        """Change the prompt from the first chunk on that begins after it is encoded."""
        self._text = text
        self._event_ids.append(event_id)
        self.apply()

    def apply(self) -> None:
        """Give an encoded prompt to the next chunk, with its event and those of prompts that it replaced."""
        if self._text is None or (self._encoding is not None and not self._encoding.done()):
            return
        if self._encoded != self._text or self._encoding is None:
            self._encoded, self._encoding = self._text, self._prepare(self._text)
            if self._encoding is not None:
                return
        text, event_ids, encoding = self._text, self._event_ids, self._encoding
        self._text, self._event_ids, self._encoding = None, [], None
        try:
            if encoding is not None:
                encoding.result()
        except Exception as error:
            self._error = error
            return
        for replaced in event_ids[:-1]:
            self._inputs.add_event(replaced)
        self._inputs.set_prompt(text, event_ids[-1])

    def take_error(self) -> Exception | None:
        """Return the error of a prompt that could not be encoded, once; the session continues."""
        error, self._error = self._error, None
        return error
