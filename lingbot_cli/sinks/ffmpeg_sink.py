"""A sink that encodes with ffmpeg, under a partial name until the film is whole."""

import contextlib

import numpy as np

from lingbot_cli.errors import LingbotError, OutputError
from lingbot_cli.sinks.base import FilmInfo
from lingbot_cli.sinks.concat import Joint
from lingbot_cli.sinks.ffmpeg_args import metadata_text
from lingbot_cli.sinks.ffmpeg_process import Encoder
from lingbot_cli.sinks.resumable import Growth

_HELD = 9  # frames an encoder may hold back (x265 does): with an unwritten fragment, less than a second
_SETTLING = 2.0  # seconds it gets to take the rest: many, for one that starves
_SETTLING_AFTER = (
    0.25  # once those were too few: it may hold back more for good, and a film must not wait for that
)
_PATIENCE = 1.5  # seconds an interrupted encoder gets to finish the partial file


class FfmpegSink:
    """Feeds what `growth` starts. `tells`: whether the film carries metadata and chapters."""

    def __init__(self, name: str, growth: Growth, *, tells: bool) -> None:
        self.name = name
        self._growth = growth
        self._tells = tells
        self._encoder: Encoder | Joint | None = None
        self._begun = False
        self._settling = _SETTLING
        self._shape = (0, 0, 3)
        self._skip = 0  # frames that come for other sinks, and are here already
        self._written = 0

    def keeps(self, film: FilmInfo, limit: int) -> dict[str, int]:
        self._growth.find(film, limit)
        return {self.name: self._growth.kept}

    def ready(self, film: FilmInfo) -> None:
        self._growth.check(film)

    def open(self, film: FilmInfo) -> None:
        self.ready(film)
        self._shape = (film.height, film.width, 3)
        self._skip = self._growth.kept - film.kept
        self._written = 0
        notes = metadata_text(film) if self._tells and (film.metadata or film.chapters) else None
        self._growth.prepare(film)
        self._begun = True
        self._encoder = self._growth.start(film, notes)

    @property
    def encoder(self) -> Encoder | Joint:
        if self._encoder is None:
            raise RuntimeError("the sink is not open")
        return self._encoder

    def write(self, frames: np.ndarray) -> None:
        if frames.dtype != np.uint8 or frames.shape[1:] != self._shape:
            raise ValueError(f"frames are {frames.dtype} {frames.shape}, the film is uint8 {self._shape}")
        there = min(self._skip, len(frames))
        self._skip -= there
        with self._naming_the_film():
            self.encoder.write(frames[there:])
        self._written += len(frames) - there
        # What lies in pipes and queues is lost when the encoder is killed.
        if not self.encoder.settle(self._written - _HELD, self._settling):
            self._settling = _SETTLING_AFTER
        self._growth.advance()

    def check(self) -> None:
        with self._naming_the_film():
            self.encoder.check()
            self._growth.advance()

    def close(self) -> None:
        with self._naming_the_film():
            self.encoder.finish(timeout=None)
            if self.encoder.encoded != self._written:
                raise OutputError(f"{self.encoder.encoded} of {self._written} frames were encoded")
            self._growth.advance()
            self._growth.commit()

    def abort(self) -> str | None:
        if not self._begun:
            return None
        if self._encoder is not None:
            with contextlib.suppress(LingbotError):
                self._encoder.finish(timeout=_PATIENCE)
        with contextlib.suppress(LingbotError):
            self._growth.advance()
        empty = self._written == 0 and self._growth.kept == 0
        with contextlib.suppress(OSError):
            self._growth.abandon(empty=empty)
        return None if empty or self._growth.partial is None else str(self._growth.partial)

    @contextlib.contextmanager
    def _naming_the_film(self):  # type: ignore[no-untyped-def]
        try:
            yield
        except OutputError as failure:
            raise OutputError(f"{self.name}: {failure}", hint=failure.hint) from failure
