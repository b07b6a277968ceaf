"""Every way a command can end badly, each with its exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LingbotError(Exception):
    """A failure with a sentence for the user and, where there is one, the way out.

    `exit_code` is what the process leaves with; `hint` is printed on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(LingbotError):
    """The command line, a timeline or a file it names is wrong."""

    exit_code = 2


class SetupError(LingbotError):
    """The machine lacks something: a GPU, ffmpeg, weights."""

    exit_code = 3


class OutputError(LingbotError):
    """The encoder or the disk failed."""

    exit_code = 4


class StreamLostError(LingbotError):
    """A live output or a remote engine is gone."""

    exit_code = 5


class InsufficientMemoryError(LingbotError):
    """The plan does not fit the device."""

    exit_code = 6


class RunInterrupted(LingbotError):
    """A signal ended the run; what was made is kept. `exit_code` is 128 + the signal's number."""

    def __init__(self, message: str, *, signal_number: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signal_number


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """What the disk refuses while the block writes `path` is an OutputError that names it."""
    try:
        yield
    except OSError as failure:
        raise OutputError(f"{path} cannot be written: {failure.strerror or failure}") from failure
