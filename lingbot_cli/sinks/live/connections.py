"""Connections of a live output: RTMP, an FLV encoder, an ffmpeg that sends by itself, or a file sink."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from lingbot_cli.errors import LingbotError, OutputError, StreamLostError
from lingbot_cli.operating_system import ending_with_this_process
from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.sinks.ffmpeg_process import FfmpegProcess, ListeningFfmpegProcess
from lingbot_cli.sinks.live.rtmp import CONNECT_TIMEOUT_S, RtmpPublisher
from lingbot_cli.sinks.live.rtmp_address import RtmpAddress
from lingbot_cli.sinks.live.rtmp_protocol import FlvTag, read_flv_tags

T = TypeVar("T", contravariant=True)
_CLOSE_TIMEOUT_S = 2.0  # for what is still on its way when the stream ends


class OutputConnection(Protocol[T]):
    """Receives frames or tags, from its start until it is lost (StreamLostError) or the stream ends."""

    @property
    def sent(self) -> int:
        """Number of frames sent."""

    def send(self, item: T) -> None:
        """Send a frame or a tag; block while the other side is behind."""

    def close(self) -> None:
        """Send the rest and close."""

    def abort(self) -> str | None:
        """End at once without raising; return the path of a partial file, if any."""


class RtmpConnection:
    """RTMP connection for FLV tags, whose times it counts from its first; begins with the current codec headers."""

    def __init__(self, address: RtmpAddress, headers: Callable[[], Sequence[FlvTag]]) -> None:
        self.sent = 0
        self._start_ms: int | None = None
        self._headers = headers
        self._publisher = RtmpPublisher(address)

    def send(self, item: FlvTag) -> None:
        if self._start_ms is None:
            self._start_ms = item.time
            for tag in self._headers():
                self._publisher.send(replace(tag, time=0))
        self._publisher.send(replace(item, time=max(0, item.time - self._start_ms)))
        self.sent += item.is_frame

    def close(self) -> None:
        self._publisher.close()

    def abort(self) -> None:
        self._publisher.close()


class _EncoderConnection:
    """Frames sent to an ffmpeg process, whose failures are those of a connection."""

    _encoder: FfmpegProcess

    def send(self, item: np.ndarray) -> None:
        with self._connection_errors():
            self._encoder.write(item[None])

    def close(self) -> None:
        with self._connection_errors():
            self._encoder.finish(_CLOSE_TIMEOUT_S)

    def abort(self) -> None:
        self._encoder.stop()

    @contextlib.contextmanager
    def _connection_errors(self) -> Iterator[None]:
        try:
            yield
        except OutputError as failure:
            raise self._connection_error(failure) from failure

    def _connection_error(self, failure: OutputError) -> LingbotError:
        raise NotImplementedError


class FlvEncoder(_EncoderConnection):
    """ffmpeg that encodes frames to FLV tags, passed to `on_tag` at once with times from `start_ms` on.

    Its exit or stall is a StreamLostError, after which it is restarted, if it has encoded a frame or replaces an
    encoder that had (`restarted`); else an OutputError.
    """

    def __init__(
        self, command: list[str], on_tag: Callable[[FlvTag], None], *, start_ms: int, restarted: bool
    ) -> None:
        self.sent = 0
        self._on_tag = on_tag
        self._start_ms = start_ms
        self._restarted = restarted
        read, write = os.pipe()
        with contextlib.ExitStack() as unread, self._connection_errors():
            unread.callback(os.close, read)
            with open(write, "wb") as output:
                self._encoder = FfmpegProcess(lambda _: command, output=output, may_be_slow=False)
            unread.pop_all()
        self._thread = threading.Thread(target=self._read, args=(read,), name="flv", daemon=True)
        self._thread.start()

    def _read(self, pipe: int) -> None:
        with open(pipe, "rb") as stream:
            for tag in read_flv_tags(stream):
                self._on_tag(replace(tag, time=tag.time + self._start_ms))
                self.sent += tag.is_frame

    def close(self) -> None:
        super().close()
        self._thread.join(_CLOSE_TIMEOUT_S)

    def _connection_error(self, failure: OutputError) -> LingbotError:
        if self._restarted or self.sent:
            return StreamLostError(str(failure), hint=failure.hint)
        return OutputError(str(failure), hint=failure.hint)


class FfmpegConnection(_EncoderConnection):
    """ffmpeg that encodes frames and sends or writes them itself; connected once it has sent `first`.

    With `ending`, it listens and waits for its caller until that is set.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        first: np.ndarray,
        fps: float,
        secrets: Sequence[str],
        *,
        ending: threading.Event | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        if folder is None:  # a playlist is finished first; a listener would wait on
            command = ending_with_this_process(command)
        with self._connection_errors():
            if ending is not None:
                self._encoder = ListeningFfmpegProcess(command, ending, secrets=secrets)
            else:
                self._encoder = FfmpegProcess(
                    lambda _: command, folder=folder, may_be_slow=False, secrets=secrets
                )
            while not self._encoder.encoded:
                if ending is None and time.monotonic() > deadline:
                    self._encoder.stop()
                    raise StreamLostError(f"{name} could not be reached: no answer")
                self._encoder.write(first[None])
                self._encoder.wait_encoded(1, 1 / fps)

    @property
    def sent(self) -> int:
        return self._encoder.encoded

    def _connection_error(self, failure: OutputError) -> LingbotError:
        hint = "check that a server is listening there and the address is right"
        return StreamLostError(f"{self.name}: {failure}", hint=hint)


class SinkConnection:
    """Sink for frames: a file or null:."""

    def __init__(self, sink: Sink, video: VideoInfo) -> None:
        self.sent = 0
        self._sink = sink
        sink.open(video)

    def send(self, item: np.ndarray) -> None:
        self._sink.write(item[None])
        self.sent += 1

    def close(self) -> None:
        self._sink.close()

    def abort(self) -> str | None:
        return self._sink.abort()
