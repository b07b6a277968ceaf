"""One connection of a live output, from its first frame until it breaks or the stream ends."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from lingbot_cli.errors import OutputError, StreamLostError
from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.sinks.ffmpeg_process import FfmpegProcess
from lingbot_cli.sinks.live.rtmp import CONNECT_TIMEOUT_S, RtmpAddress, RtmpPublisher
from lingbot_cli.sinks.live.rtmp_protocol import FlvTag, read_flv_tags

T = TypeVar("T", contravariant=True)
_CLOSE_TIMEOUT_S = 2.0  # seconds for what is still on its way when the stream ends
# Seconds without a sign of life after which an encoder counts as hung. One that is merely slow takes a frame or
# encodes one many times in these; services that hear nothing for much longer hang up.
_STALL_TIMEOUT_S = 8.0


class OutputConnection(Protocol[T]):
    """Takes frames, or tags; StreamLostError when the other side is gone. `sent` frames have left us."""

    @property
    def sent(self) -> int:
        """How many frames have left us."""

    def send(self, item: T) -> None:
        """Take one, blocking while the other side is behind."""

    def close(self) -> None:
        """Bring what is left over, and end well."""

    def abandon(self) -> str | None:
        """End at once and never raise; what is kept of it, None when nothing is."""


class RtmpConnection:
    """Tags → an RTMP connection, its times counted from the first; what `settings` are then goes before it."""

    def __init__(self, address: RtmpAddress, settings: Callable[[], Sequence[FlvTag]]) -> None:
        self.sent = 0
        self._begin: int | None = None
        self._settings = settings
        self._publisher = RtmpPublisher(address)

    def send(self, item: FlvTag) -> None:
        if self._begin is None:
            self._begin = item.time
            for tag in self._settings():
                self._publisher.send(replace(tag, time=0))
        self._publisher.send(replace(item, time=max(0, item.time - self._begin)))
        self.sent += item.is_picture

    def close(self) -> None:
        self._publisher.close()

    def abandon(self) -> None:
        self._publisher.close()


class FlvEncoder:
    """Frames → ffmpeg → tags, each handed to `take` as soon as it is there, its time counted from `begin` ms.

    An encoder that has worked may be started again, so that it ends or hangs is a StreamLostError, as it is of
    any that `mends` the end of another; one that never worked raises OutputError.
    """

    def __init__(self, argv: list[str], take: Callable[[FlvTag], None], *, begin: int, mends: bool) -> None:
        self.sent = 0
        self._take = take
        self._begin = begin
        self._mends = mends
        read, write = os.pipe()
        with contextlib.ExitStack() as unread, self._telling():
            unread.callback(os.close, read)
            with open(write, "wb") as output:
                self._encoder = FfmpegProcess(lambda _: argv, output=output, hung=_STALL_TIMEOUT_S)
            unread.pop_all()
        self._thread = threading.Thread(target=self._read, args=(read,), name="flv", daemon=True)
        self._thread.start()

    def _read(self, pipe: int) -> None:
        with open(pipe, "rb") as stream:
            for tag in read_flv_tags(stream):
                self._take(replace(tag, time=tag.time + self._begin))
                self.sent += tag.is_picture

    def send(self, item: np.ndarray) -> None:
        with self._telling():
            self._encoder.write(item[None])

    def close(self) -> None:
        with self._telling():
            self._encoder.finish(_CLOSE_TIMEOUT_S)
        self._thread.join(_CLOSE_TIMEOUT_S)

    def abandon(self) -> None:
        self._encoder.stop()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OutputError as failure:
            if self._mends or self.sent:
                raise StreamLostError(str(failure), hint=failure.hint) from failure
            raise


class SrtConnection:
    """Frames → ffmpeg, which holds the connection itself (SRT); connected once it has sent `first`."""

    def __init__(
        self, name: str, argv: list[str], first: np.ndarray, fps: float, secrets: Sequence[str]
    ) -> None:
        self.name = name
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        try:
            self._encoder = FfmpegProcess(lambda _: argv, hung=_STALL_TIMEOUT_S, secrets=secrets)
            while not self._encoder.encoded:
                if time.monotonic() > deadline:
                    self._encoder.stop()
                    raise StreamLostError(f"{name} could not be reached: no answer")
                self._encoder.write(first[None])
                self._encoder.settle(1, 1 / fps)
        except OutputError as failure:
            raise self._lost(failure) from failure

    @property
    def sent(self) -> int:
        return self._encoder.encoded

    def send(self, item: np.ndarray) -> None:
        try:
            self._encoder.write(item[None])
        except OutputError as failure:
            raise self._lost(failure) from failure

    def close(self) -> None:
        try:
            self._encoder.finish(_CLOSE_TIMEOUT_S)
        except OutputError as failure:
            raise self._lost(failure) from failure

    def abandon(self) -> None:
        self._encoder.stop()

    def _lost(self, failure: OutputError) -> StreamLostError:
        return StreamLostError(
            f"{self.name}: {failure}", hint="is a server listening there, and the address right?"
        )


class SinkConnection:
    """Frames into a file or nowhere."""

    def __init__(self, sink: Sink, film: VideoInfo) -> None:
        self.sent = 0
        self._sink = sink
        sink.open(film)

    def send(self, item: np.ndarray) -> None:
        self._sink.write(item[None])
        self.sent += 1

    def close(self) -> None:
        self._sink.close()

    def abandon(self) -> str | None:
        return self._sink.abort()
