"""ffmpeg writing to standard output, whose reader may go before the film is over."""

import select
from collections.abc import Callable
from typing import BinaryIO

from lingbot_cli.errors import OutputError
from lingbot_cli.sinks.ffmpeg_process import FfmpegProcess


class StdoutFfmpegProcess(FfmpegProcess):
    """An Encoder that knows why it cannot write any more."""

    def __init__(
        self, argv: Callable[[int | None], list[str]], *, output: BinaryIO, notes: str | None = None
    ) -> None:
        self._output = output
        super().__init__(argv, notes=notes, output=output)

    def failure(self) -> OutputError:
        failure = super().failure()
        return OutputError("its reader is gone") if reader_gone(self._output) else failure


def reader_gone(output: BinaryIO) -> bool:
    """Whether the other end of a pipe is closed; never of anything else."""
    look = select.poll()
    look.register(output, 0)
    return any(event & select.POLLERR for _, event in look.poll(0))
