"""The first signal prints its effect, at any moment of the program."""

import io
import signal

import pytest

from lingbot_cli.errors import RunInterrupted
from lingbot_cli.ui.signals import StopRequest


class Interrupted(io.RawIOBase):
    """A stream in the middle of whose first write a signal comes."""

    def __init__(self) -> None:
        self.said = b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        if not self.said:
            signal.raise_signal(signal.SIGTERM)
        self.said += bytes(data)
        return len(data)


def test_a_signal_in_the_middle_of_a_printed_line_is_told_after_it():
    raw = Interrupted()
    out = io.TextIOWrapper(io.BufferedWriter(raw), write_through=True)
    interruption = StopRequest(lambda text: print(text, file=out, flush=True))
    interruption.graceful = True
    with interruption.handling() as stopped:
        print("chunk 2 of 9", file=out, flush=True)
        assert stopped()
    said = raw.said.decode().splitlines()
    assert said == ["chunk 2 of 9", "SIGTERM: finishing this chunk; once more to leave at once"]
    with pytest.raises(RunInterrupted, match="interrupted by SIGTERM"):
        stopped.check(whole=False)


def test_before_there_is_anything_to_finish_the_first_signal_ends_the_run():
    told: list[str] = []
    with pytest.raises(RunInterrupted), StopRequest(told.append).handling():
        signal.raise_signal(signal.SIGTERM)
    assert told == []


def test_what_is_just_beginning_is_whole_before_a_signal_ends_the_run():
    begun = []

    def begin() -> None:
        with StopRequest(begun.append).handling() as stopped:
            with stopped.deferring():
                signal.raise_signal(signal.SIGTERM)
                begun.append("encoder")
            begun.append("more")

    with pytest.raises(RunInterrupted):
        begin()
    assert begun == ["encoder"]


def test_a_reader_that_is_gone_does_not_hide_the_signal():
    def gone(_text: str) -> None:
        raise BrokenPipeError

    interruption = StopRequest(gone)
    interruption.graceful = True
    with interruption.handling() as stopped:
        signal.raise_signal(signal.SIGTERM)
    assert stopped.number == signal.SIGTERM
