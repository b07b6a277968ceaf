"""Sink: a consumer of video frames, and the sinks that write no file themselves."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Chapter:
    """A chapter of the video, from frame `start` to the next chapter or the end."""

    start: int
    title: str


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video, given to a sink before its first frame.

    `fps`: frames per second. `frames`: their number, None for a live stream. `metadata`: tags for formats that
    have them. `start_frame`: index of the first frame that will be written; every sink has those before it.
    `subtitles`: SRT text. `variant`: a difference between videos of the same render, such as captions.
    """

    height: int
    width: int
    fps: Fraction
    frames: int | None = None
    chapters: tuple[Chapter, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    start_frame: int = 0
    variant: str = ""
    subtitles: str = ""


class Sink:
    """Consumer of the frames of one video: opened once, then closed or aborted once. Errors: OutputError.

    The methods of this base are those of a sink that writes no file.
    """

    name: str

    @property
    def restartable(self) -> bool:
        """Return whether it can be opened again after `abort` and continue its video."""
        return False

    def resumable_frames(self, video: VideoInfo, limit: int) -> dict[str, int]:  # noqa: ARG002
        """Return the number of leading frames, at most `limit`, that each output has from an earlier run.

        Call it before `open` to resume; without this call, `open` starts over. Keys are the outputs' names.
        """
        return {}

    def preflight(self, video: VideoInfo) -> None:
        """Raise the errors that `open` would raise, without writing anything."""

    def open(self, video: VideoInfo) -> None:
        """Prepare to receive frames, before the model is loaded."""

    def write(self, frames: np.ndarray) -> None:
        """Write frames, uint8 RGB [T, H, W, 3]; block while the output is behind."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise if the output has failed since the last write."""

    def close(self) -> None:
        """Finish the video and give it its final name."""

    def write_video(self, video: VideoInfo, frames: Iterable[np.ndarray]) -> None:
        """Open the sink, write a whole video and close it; a failure aborts it."""
        try:
            self.open(video)
            for each in frames:
                self.write(each)
            self.close()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> str | None:
        """End early without raising; return the path of the partial video, None if there is none."""
        self.close()
        return None


class NullSink(Sink):
    """Sink that counts frames and discards them, for benchmarks and for trying a timeline."""

    name = "null:"
    frames = 0
    restartable = True

    def open(self, video: VideoInfo) -> None:  # noqa: ARG002
        self.frames = 0

    def write(self, frames: np.ndarray) -> None:
        self.frames += len(frames)


class FilterSink(Sink):
    """Base of a sink that changes the frames of a video and passes them to another sink."""

    def __init__(self, sink: Sink) -> None:
        self.name = sink.name
        self._sink = sink
        self._frame = 0  # index of the next one

    @property
    def restartable(self) -> bool:
        return self._sink.restartable

    def resumable_frames(self, video: VideoInfo, limit: int) -> dict[str, int]:
        return self._sink.resumable_frames(self._changed(video), limit)

    def preflight(self, video: VideoInfo) -> None:
        self._sink.preflight(self._changed(video))

    def open(self, video: VideoInfo) -> None:
        self._frame = video.start_frame
        self._sink.open(self._changed(video))

    def check(self) -> None:
        self._sink.check()

    def close(self) -> None:
        self._sink.close()

    def abort(self) -> str | None:
        return self._sink.abort()

    def _changed(self, video: VideoInfo) -> VideoInfo:
        """Return the description of the video that is passed on."""
        raise NotImplementedError


class TeeSink(Sink):
    """Sink that passes every frame to each of `sinks` and fails with the first of them."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = tuple(sinks)
        self.name = ", ".join(sink.name for sink in self.sinks if sink.name)

    @property
    def restartable(self) -> bool:
        return all(sink.restartable for sink in self.sinks)

    def resumable_frames(self, video: VideoInfo, limit: int) -> dict[str, int]:
        return {
            name: frames
            for sink in self.sinks
            for name, frames in sink.resumable_frames(video, limit).items()
        }

    def preflight(self, video: VideoInfo) -> None:
        for sink in self.sinks:
            sink.preflight(video)

    def open(self, video: VideoInfo) -> None:
        opened: list[Sink] = []
        try:
            for sink in self.sinks:
                sink.open(video)
                opened.append(sink)
        except Exception:
            for sink in opened:
                sink.abort()
            raise

    def write(self, frames: np.ndarray) -> None:
        for sink in self.sinks:
            sink.write(frames)

    def check(self) -> None:
        for sink in self.sinks:
            sink.check()

    def close(self) -> None:
        """Close every sink, then raise the first failure."""
        failures: list[Exception] = []
        for sink in self.sinks:
            try:
                sink.close()
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def abort(self) -> str | None:
        with ThreadPoolExecutor(len(self.sinks)) as pool:  # each may have to wait for an encoder
            paths = [path for path in pool.map(lambda sink: sink.abort(), self.sinks) if path]
        return ", ".join(paths) or None


def output_names(sink: Sink) -> list[str]:
    """Return the name of every output behind a sink."""
    if isinstance(sink, TeeSink):
        return [name for each in sink.sinks for name in output_names(each)]
    return [sink.name] if sink.name else []
