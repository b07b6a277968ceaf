"""Sink that drops frames evenly, for formats that cannot show as many a second."""

import math
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from lingbot_cli.sinks.base import FilterSink, Sink, VideoInfo
from lingbot_cli.sinks.formats import format_of_suffix


class MaxRateSink(FilterSink):
    """Sink that passes a video on, at no more than `max_fps` frames per second."""

    def __init__(self, sink: Sink, max_fps: float) -> None:
        super().__init__(sink)
        self._max_fps = max_fps
        self._ratio = Fraction(1)  # of the frames that are passed on

    def resumable_frames(self, video: VideoInfo, limit: int) -> dict[str, int]:
        return {self.name: 0} if video.fps > self._max_fps else super().resumable_frames(video, limit)

    def _changed(self, video: VideoInfo) -> VideoInfo:
        self._ratio = min(Fraction(1), Fraction(self._max_fps) / video.fps)
        frames = None if video.frames is None else math.ceil(video.frames * self._ratio)
        return replace(video, fps=video.fps * self._ratio, frames=frames)

    def write(self, frames: np.ndarray) -> None:
        shown = [i for i in range(len(frames)) if self._is_shown(self._frame + i)]
        self._frame += len(frames)
        if shown:
            self._sink.write(frames[shown])

    def _is_shown(self, frame: int) -> bool:
        """Return whether a frame is the newest one when an output frame is shown."""
        return math.ceil(frame * self._ratio) < math.ceil((frame + 1) * self._ratio)


def rate_notes(targets: Iterable[str], fps: float) -> list[str]:
    """Return a note for each output whose format shows fewer frames per second."""
    limits = ((target, format_of_suffix(target)) for target in targets)
    return [
        f"{target}: {limit.max_fps} of {fps:.5g} frames per second, the most that {limit.muxer} players show"
        for target, limit in limits
        if limit is not None and limit.max_fps is not None and fps > limit.max_fps
    ]
