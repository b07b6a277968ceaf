"""Sinks of small videos with the real encoder."""

import os
from fractions import Fraction

from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink

VIDEO = VideoInfo(96, 128, Fraction(16), 40)


def open_sink(target, video=VIDEO, **options) -> Sink:
    """Return an open sink; `options` as for OutputOptions."""
    sink = choose_sink(str(target), OutputOptions(**options), os.environ)
    sink.open(video)
    return sink


def write_often(sink, frames, times=200):
    """Write the same frames again and again."""
    for _ in range(times):
        sink.write(frames)
