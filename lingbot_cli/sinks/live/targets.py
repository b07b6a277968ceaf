"""From what stands after --to to a live output."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

import numpy as np

from lingbot_cli.errors import LingbotError, UsageError
from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink
from lingbot_cli.sinks.ffmpeg_args import stream_args
from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
from lingbot_cli.sinks.formats import FORMATS
from lingbot_cli.sinks.live.connections import FlvEncoder, RtmpConnection, SinkConnection, SrtConnection
from lingbot_cli.sinks.live.reconnecting_output import Outage, OutputStats, ReconnectingOutput
from lingbot_cli.sinks.live.rtmp import RtmpAddress
from lingbot_cli.sinks.live.rtmp_protocol import FlvTag
from lingbot_cli.sinks.live.send_queue import FrameQueue, TagQueue

_CONNECT_TIMEOUT_S = 4.5  # seconds in which the first connections must stand
_MAX_QUEUE_S = 4.0  # seconds of frames that may wait for a slow connection
_TARGETS_HINT = "use rtmp://HOST/APP/KEY, rtmps://…, srt://HOST:PORT, a file such as a.mp4, or null:"
_SUFFIXES = tuple(suffix for format_ in FORMATS.values() for suffix in format_.suffixes)
_SRT_URL = re.compile(r"(srt://(?:[^/@?\s:]+|\[[^\]\s]+\]):\d{1,5})/?(\?\S*)?", re.I)


class LiveOutput(Protocol):
    """A place a stream goes to."""

    @property
    def stats(self) -> OutputStats:
        """How it is doing."""

    def wait_started(self, seconds: float) -> None:
        """Wait until it stands, or raise why it does not."""

    def put(self, item: np.ndarray) -> None:
        """Take one frame [H, W, 3] without waiting."""

    def check(self) -> None:
        """Raise when it has failed for good."""

    def close(self) -> None:
        """Send what waits and end; StreamLostError when the other side is away."""

    def abandon(self) -> str | None:
        """End at once and never raise."""


@dataclass(frozen=True)
class StreamOptions:
    """How a stream is encoded; `kbits` None takes what fits the size."""

    kbits: int | None = None
    audio: bool = True
    overwrite: bool = False


StartOutput = Callable[[VideoInfo, np.ndarray, Callable[[Outage], None]], LiveOutput]
"""Begins an output: the film, a frame to begin with, and who hears of gaps."""


@dataclass(frozen=True)
class Target:
    """Something a stream can go to; its name holds no key."""

    name: str
    start: StartOutput


def choose_target(url: str, options: StreamOptions, environ: Mapping[str, str]) -> Target:
    """The target of one --to: rtmp://, rtmps://, srt://, a file or null:; UsageError without any key."""
    scheme = url.partition("://")[0].lower()
    if scheme in ("rtmp", "rtmps"):
        address = RtmpAddress.parse(url)
        return Target(address.name, partial(_start_rtmp, address, options, find_ffmpeg(environ)))
    if scheme == "srt":
        match = _SRT_URL.fullmatch(url)
        if match is None:
            raise UsageError("--to: the SRT address is not complete", hint="write srt://HOST:PORT")
        start = partial(_start_srt, match[1], url, options, find_ffmpeg(environ))
        return Target(match[1], start)
    if "://" in url:
        raise UsageError(f"--to: {scheme}:// is not spoken here", hint=_TARGETS_HINT)
    if url != "null:" and not url.lower().endswith(_SUFFIXES):
        # What it was meant to be may hold a key, so it is not repeated.
        raise UsageError("--to: neither an address nor a file of a known kind", hint=_TARGETS_HINT)
    sink = choose_sink(url, OutputOptions(overwrite=options.overwrite), environ)
    return Target(sink.name, partial(_start_sink, sink))


def start_all(
    targets: Sequence[Target], film: VideoInfo, still: np.ndarray, tell: Callable[[Outage], None]
) -> list[LiveOutput]:
    """Begin every target at once; the first that does not stand within 5 s ends all and raises why."""
    deadline = time.monotonic() + _CONNECT_TIMEOUT_S
    outputs = [target.start(film, still, tell) for target in targets]
    try:
        for output in outputs:
            output.wait_started(deadline - time.monotonic())
    except LingbotError:
        for output in outputs:
            output.abandon()
        raise
    return outputs


class RtmpOutput:
    """Frames are encoded once and go on being encoded whatever becomes of the connection.

    An encoder that dies is started again; on the wire its times go on where the other's would be.
    """

    def __init__(
        self, address: RtmpAddress, argv: list[str], fps: float, tell: Callable[[Outage], None]
    ) -> None:
        self._argv = argv
        self._last: tuple[int, float] | None = None  # the newest tag: its time in ms, and when it came
        tags = TagQueue(round(_MAX_QUEUE_S * 1000))
        self._wire: ReconnectingOutput[FlvTag] = ReconnectingOutput(
            address.name, lambda: RtmpConnection(address, tags.settings), tags, tell
        )
        self._encoder: ReconnectingOutput[np.ndarray] = ReconnectingOutput(
            f"the encoder of {address.name}", self._encode, FrameQueue(round(_MAX_QUEUE_S * fps)), tell
        )

    def _encode(self) -> FlvEncoder:
        begin, last = 0, self._last
        if last is not None:
            begin = last[0] + max(1, round(1000 * (time.monotonic() - last[1])))
        return FlvEncoder(self._argv, self._take, begin=begin, mends=last is not None)

    def _take(self, tag: FlvTag) -> None:
        self._last = tag.time, time.monotonic()
        self._wire.put(tag)

    @property
    def stats(self) -> OutputStats:
        wire, encoder = self._wire.stats, self._encoder.stats
        return OutputStats(
            wire.name,
            wire.sent,
            wire.lost + encoder.lost,
            wire.reconnects + encoder.reconnects,
            wire.connected and encoder.connected,
        )

    def wait_started(self, seconds: float) -> None:
        self._wire.wait_started(seconds)
        self._encoder.wait_started(seconds)

    def put(self, item: np.ndarray) -> None:
        self._encoder.put(item)

    def check(self) -> None:
        self._encoder.check()
        self._wire.check()

    def close(self) -> None:
        try:
            self._encoder.close()
        finally:
            self._wire.close()

    def abandon(self) -> None:
        self._encoder.abandon()
        self._wire.abandon()


def _start_rtmp(
    address: RtmpAddress,
    options: StreamOptions,
    ffmpeg: str,
    film: VideoInfo,
    still: np.ndarray,  # noqa: ARG001 - a connection needs no frame
    tell: Callable[[Outage], None],
) -> LiveOutput:
    argv = stream_args(ffmpeg, film, url="pipe:1", muxer="flv", kbits=options.kbits, audio=options.audio)
    return RtmpOutput(address, argv, float(film.fps), tell)


def _start_srt(
    name: str,
    url: str,
    options: StreamOptions,
    ffmpeg: str,
    film: VideoInfo,
    still: np.ndarray,
    tell: Callable[[Outage], None],
) -> LiveOutput:
    argv = stream_args(ffmpeg, film, url=url, muxer="mpegts", kbits=options.kbits, audio=options.audio)
    secrets = _srt_secrets(url)
    return ReconnectingOutput(
        name, lambda: SrtConnection(name, argv, still, float(film.fps), secrets), _frames(film), tell
    )


def _srt_secrets(url: str) -> list[str]:
    """The passphrase and the stream's name, as they are written and as they are meant."""
    said = [pair.partition("=") for pair in url.partition("?")[2].split("&")]
    values = [value for name, _, value in said if name in ("passphrase", "streamid")]
    return [*values, *map(unquote, values)]


def _start_sink(
    sink: Sink,
    film: VideoInfo,
    still: np.ndarray,  # noqa: ARG001 - a file needs no frame to be opened
    tell: Callable[[Outage], None],
) -> LiveOutput:
    # A disk takes its time, and nobody is away.
    return ReconnectingOutput(
        sink.name, lambda: SinkConnection(sink, film), _frames(film), tell, closing=None
    )


def _frames(film: VideoInfo) -> FrameQueue:
    return FrameQueue(max(2, round(_MAX_QUEUE_S * film.fps)))


def read_urls(path: Path) -> list[str]:
    """The addresses in a file, one a line; empty lines and those that begin with # do not count."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as failure:
        raise UsageError(f"--to-file {path}: cannot be read: {failure}") from failure
    urls = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not urls:
        raise UsageError(f"--to-file {path}: no address in it", hint="write one a line")
    return urls
