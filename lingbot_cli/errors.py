"""Errors of commands, each with its exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LingbotError(Exception):
    """Failure with a message for the user and a hint, the remedy, where there is one.

    `exit_code`: of the process. `hint`: printed on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(LingbotError):
    """Wrong command line, timeline or input file."""

    exit_code = 2


class SetupError(LingbotError):
    """Missing part of the machine: a GPU, ffmpeg, weights."""

    exit_code = 3


class OutputError(LingbotError):
    """Failed encoder or disk."""

    exit_code = 4


class EncoderStalledError(OutputError):
    """Encoder that hangs."""


class StreamLostError(LingbotError):
    """Lost live output or server."""

    exit_code = 5


class InsufficientMemoryError(LingbotError):
    """Plan that does not fit the device."""

    exit_code = 6


class RunInterrupted(LingbotError):
    """Run ended by a signal, its output saved; `exit_code` is 128 + the signal's number."""

    def __init__(self, message: str, *, signal_number: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signal_number


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which writes `path`, into an OutputError."""
    try:
        yield
    except OSError as failure:
        raise OutputError(f"{path} cannot be written: {failure.strerror or failure}") from failure
