"""Targets of a stream: --to addresses of RTMP, SRT and WHIP servers, files and null:, as live outputs."""

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lingbot_cli.errors import LingbotError, UsageError
from lingbot_cli.files import check_folder
from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink
from lingbot_cli.sinks.ffmpeg_args import stream_args
from lingbot_cli.sinks.ffmpeg_binary import check_whip, find_ffmpeg
from lingbot_cli.sinks.formats import FORMATS, PLAYLIST_SUFFIX
from lingbot_cli.sinks.live.connections import FfmpegConnection, FlvEncoder, RtmpConnection, SinkConnection
from lingbot_cli.sinks.live.reconnecting_output import Outage, OutputStats, ReconnectingOutput
from lingbot_cli.sinks.live.rtmp_address import RtmpAddress, query_values, with_decoded
from lingbot_cli.sinks.live.rtmp_protocol import FlvTag
from lingbot_cli.sinks.live.send_queue import MAX_QUEUE_S, FrameQueue, TagQueue
from lingbot_cli.sinks.live.whip import WhipAddress, WhipConnection
from lingbot_cli.sinks.playlist import check_playlist, remove_playlist
from lingbot_cli.sinks.rescale import UNSCALED, Rescale
from lingbot_cli.sinks.soundtrack import Soundtrack

_CONNECT_TIMEOUT_S = 4.5  # for the first connection of every output
_TARGETS_HINT = (
    "use rtmp://HOST/APP/KEY, rtmps://…, srt://HOST:PORT, udp://HOST:PORT, whip+https://TOKEN@HOST/PATH, a file such "
    "as a.mp4 or live/index.m3u8, or null:"
)
_SUFFIXES = tuple(suffix for format_ in FORMATS.values() for suffix in format_.suffixes)
_LISTENER = re.compile(r"[?&]mode=listener(?:&|$)")
_UDP_URL = re.compile(r"(udp://(?:[^/@?\s:]+|\[[^\]\s]+\]):\d{1,5})/?(\?\S*)?", re.I)
_SRT_URL = re.compile(r"(srt://(?:[^/@?\s:]*|\[[^\]\s]+\]):\d{1,5})/?(\?\S*)?", re.I)


@dataclass(frozen=True)
class StreamOptions:
    """Encoding of a stream. `kbits`: bit rate in kbit/s, None for one that suits the size."""

    kbits: int | None = None
    audio: bool = True
    overwrite: bool = False
    rescale: Rescale = UNSCALED
    soundtrack: Soundtrack | None = None

    def file_options(self) -> OutputOptions:
        """Return the options of a target that is a file."""
        return OutputOptions(overwrite=self.overwrite, rescale=self.rescale, audio=self.soundtrack)

    def command(self, ffmpeg: str, video: VideoInfo, *, url: str, muxer: str) -> list[str]:
        """Return the command of the encoder."""
        return stream_args(
            ffmpeg,
            video,
            url=url,
            muxer=muxer,
            kbits=self.kbits,
            audio=self.audio,
            rescale=self.rescale,
            soundtrack=self.soundtrack,
        )


OnOutage = Callable[[Outage], None]


class RtmpOutput:
    """RTMP output, with the methods of ReconnectingOutput: encoder and connection can be restarted alone.

    The times of a restarted encoder continue where those of the earlier one would be.
    """

    def __init__(self, address: RtmpAddress, command: list[str], fps: float, on_outage: OnOutage) -> None:
        self._command = command
        self._last_tag: tuple[int, float] | None = None  # its time in ms, and the clock's when it arrived
        tags = TagQueue(round(MAX_QUEUE_S * 1000))
        self._sender: ReconnectingOutput[FlvTag] = ReconnectingOutput(
            address.name, lambda: RtmpConnection(address, tags.headers), tags, on_outage
        )
        self._encoder: ReconnectingOutput[np.ndarray] = ReconnectingOutput(
            f"the encoder of {address.name}",
            self._start_encoder,
            FrameQueue(round(MAX_QUEUE_S * fps)),
            on_outage,
        )

    def _start_encoder(self) -> FlvEncoder:
        start_ms, last = 0, self._last_tag
        if last is not None:
            start_ms = last[0] + max(1, round(1000 * (time.monotonic() - last[1])))
        return FlvEncoder(self._command, self._on_tag, start_ms=start_ms, restarted=last is not None)

    def _on_tag(self, tag: FlvTag) -> None:
        self._last_tag = tag.time, time.monotonic()
        self._sender.put(tag)

    @property
    def stats(self) -> OutputStats:
        sender, encoder = self._sender.stats, self._encoder.stats
        return OutputStats(
            sender.name,
            sender.sent,
            sender.lost + encoder.lost,
            sender.reconnects + encoder.reconnects,
            sender.connected and encoder.connected,
        )

    def wait_started(self, timeout_s: float) -> None:
        self._sender.wait_started(timeout_s)
        self._encoder.wait_started(timeout_s)

    def put(self, item: np.ndarray) -> None:
        self._encoder.put(item)

    def check(self) -> None:
        self._encoder.check()
        self._sender.check()

    def close(self) -> None:
        try:
            self._encoder.close()
        finally:
            self._sender.close()

    def abort(self) -> None:
        self._encoder.abort()
        self._sender.abort()


LiveOutput = ReconnectingOutput[np.ndarray] | RtmpOutput
"""Output of a stream that never blocks its writer."""
StartOutput = Callable[[VideoInfo, np.ndarray, OnOutage], LiveOutput]
"""Starts an output, given the video, a frame to begin with, and a callback for outages."""


@dataclass(frozen=True)
class Target:
    """Target of a stream; `name` contains no key. One that `listens` starts when its caller comes."""

    name: str
    start: StartOutput
    listens: bool = False


def choose_target(url: str, options: StreamOptions, environ: Mapping[str, str]) -> Target:
    """Return the target of one --to. Errors: UsageError, without any key."""
    scheme = url.partition("://")[0].lower()
    if scheme in ("rtmp", "rtmps"):
        return _rtmp_target(RtmpAddress.parse(url), options, find_ffmpeg(environ))
    if scheme == "srt":
        match = _SRT_URL.fullmatch(url)
        if match is None:
            raise UsageError("--to: incomplete SRT address", hint="use srt://HOST:PORT")
        listens = _LISTENER.search(url) is not None
        if match[1].startswith("srt://:") and not listens:
            raise UsageError("--to: the SRT address has no host", hint="add one, or ?mode=listener")
        return _ffmpeg_target(match[1], url, options, find_ffmpeg(environ), listens=listens)
    if scheme == "udp":
        match = _UDP_URL.fullmatch(url)
        if match is None:
            raise UsageError("--to: incomplete UDP address", hint="use udp://HOST:PORT")
        packets = "" if "pkt_size=" in url else "&pkt_size=1316" if "?" in url else "?pkt_size=1316"
        return _ffmpeg_target(match[1], url + packets, options, find_ffmpeg(environ))
    if scheme in ("whip+https", "whip+http"):
        return _whip_target(WhipAddress.parse(url), options, find_ffmpeg(environ))
    if "://" in url:
        raise UsageError(f"--to: unsupported protocol {scheme}://", hint=_TARGETS_HINT)
    if url.lower().endswith(PLAYLIST_SUFFIX):
        return _hls_target(Path(url), options, find_ffmpeg(environ))
    if url != "null:" and not url.lower().endswith(_SUFFIXES):
        # The text may contain a key, so it is not repeated.
        raise UsageError("--to: neither a stream address nor a supported file name", hint=_TARGETS_HINT)
    return _sink_target(choose_sink(url, options.file_options(), environ))


def start_all(
    targets: Sequence[Target], video: VideoInfo, still: np.ndarray, on_outage: OnOutage
) -> list[LiveOutput]:
    """Start every target at once; abort all and raise if one that calls is not connected within 4.5 s."""
    deadline = time.monotonic() + _CONNECT_TIMEOUT_S
    outputs: list[LiveOutput] = []
    try:
        for target in targets:
            outputs.append(target.start(video, still, on_outage))
        for output in outputs:
            output.wait_started(deadline - time.monotonic())
    except LingbotError:
        for output in outputs:
            output.abort()
        raise
    return outputs


def _rtmp_target(address: RtmpAddress, options: StreamOptions, ffmpeg: str) -> Target:
    def start(video: VideoInfo, _still: np.ndarray, on_outage: OnOutage) -> LiveOutput:
        command = options.command(ffmpeg, video, url="pipe:1", muxer="flv")
        return RtmpOutput(address, command, float(video.fps), on_outage)

    return Target(address.name, start)


def _whip_target(address: WhipAddress, options: StreamOptions, ffmpeg: str) -> Target:
    check_whip(ffmpeg)

    def start(video: VideoInfo, still: np.ndarray, on_outage: OnOutage) -> LiveOutput:
        def connect() -> WhipConnection:
            def command(url: str) -> list[str]:
                return options.command(ffmpeg, video, url=url, muxer="whip")

            return WhipConnection(address, command, still, float(video.fps))

        return ReconnectingOutput(address.name, connect, _frame_queue(video), on_outage)

    return Target(address.name, start)


def _hls_target(playlist: Path, options: StreamOptions, ffmpeg: str) -> Target:
    """Return the target of an HLS playlist, its segments beside it. Errors: UsageError for one that exists."""
    check_playlist(playlist, overwrite=options.overwrite)
    check_folder(playlist.parent)
    target = _ffmpeg_target(str(playlist), str(playlist.absolute()), options, ffmpeg, folder=playlist.parent)

    def start(video: VideoInfo, still: np.ndarray, on_outage: OnOutage) -> LiveOutput:
        check_playlist(playlist, overwrite=options.overwrite)
        remove_playlist(playlist)  # a new stream would be appended to it
        return target.start(video, still, on_outage)

    return replace(target, start=start)


def _ffmpeg_target(
    name: str,
    url: str,
    options: StreamOptions,
    ffmpeg: str,
    *,
    listens: bool = False,
    folder: Path | None = None,
) -> Target:
    """Return a target that ffmpeg itself sends to, or writes as HLS in a `folder`."""
    muxer = "mpegts" if folder is None else "hls"
    secrets = with_decoded(query_values(url)) if "://" in url else []

    def start(video: VideoInfo, still: np.ndarray, on_outage: OnOutage) -> LiveOutput:
        command = options.command(ffmpeg, video, url=url, muxer=muxer)
        ending = threading.Event() if listens else None

        def connect() -> FfmpegConnection:
            return FfmpegConnection(
                name, command, still, float(video.fps), secrets, ending=ending, folder=folder
            )

        return ReconnectingOutput(name, connect, _frame_queue(video), on_outage, listening=ending)

    return Target(name, start, listens=listens)


def _sink_target(sink: Sink) -> Target:
    def start(video: VideoInfo, _still: np.ndarray, on_outage: OnOutage) -> LiveOutput:
        def connect() -> SinkConnection:
            return SinkConnection(sink, video)

        # Without a timeout: a slow disk is never disconnected.
        return ReconnectingOutput(sink.name, connect, _frame_queue(video), on_outage, close_timeout_s=None)

    return Target(sink.name, start)


def _frame_queue(video: VideoInfo) -> FrameQueue:
    return FrameQueue(max(2, round(MAX_QUEUE_S * video.fps)))


def read_urls(path: Path) -> list[str]:
    """Return the addresses in a file, one a line, without empty lines and comments (#). Errors: UsageError."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as failure:
        raise UsageError(f"--to-file {path}: cannot be read: {failure}") from failure
    urls = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not urls:
        raise UsageError(f"--to-file {path}: no addresses", hint="write one address a line")
    return urls
