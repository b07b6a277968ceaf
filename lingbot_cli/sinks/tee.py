"""Several outputs from one film."""

from collections.abc import Sequence

import numpy as np

from lingbot_cli.sinks.base import Sink, VideoInfo


class TeeSink:
    """Hands every frame to each of `sinks`; the first failure is the failure of all."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = tuple(sinks)
        self.name = ", ".join(sink.name for sink in self.sinks if sink.name)

    def resumable_frames(self, film: VideoInfo, limit: int) -> dict[str, int]:
        return {
            name: frames for sink in self.sinks for name, frames in sink.resumable_frames(film, limit).items()
        }

    def preflight(self, film: VideoInfo) -> None:
        for sink in self.sinks:
            sink.preflight(film)

    def open(self, film: VideoInfo) -> None:
        opened: list[Sink] = []
        try:
            for sink in self.sinks:
                sink.open(film)
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
        """Finish all that can be finished, then report the first that could not."""
        failures: list[Exception] = []
        for sink in self.sinks:
            try:
                sink.close()
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def abort(self) -> str | None:
        kept = [what for sink in self.sinks if (what := sink.abort())]
        return ", ".join(kept) or None


def output_names(sink: Sink) -> list[str]:
    """The names of all the outputs behind a sink, one each."""
    if isinstance(sink, TeeSink):
        return [name for each in sink.sinks for name in output_names(each)]
    return [sink.name] if sink.name else []
