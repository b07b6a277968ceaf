"""A sink that encodes with ffmpeg, under a partial name until the film is whole."""

import contextlib
from collections.abc import Callable
from functools import partial

import numpy as np

from lingbot_cli.errors import LingbotError, OutputError
from lingbot_cli.sinks.argv import metadata_text
from lingbot_cli.sinks.base import FilmInfo
from lingbot_cli.sinks.place import Place
from lingbot_cli.sinks.process import Encoder

_HELD = 8  # frames an encoder may hold back: with a fragment not yet written, less than a second
_SETTLING = 0.25  # seconds it gets to take the rest, each time
_PATIENCE = 1.5  # seconds an interrupted encoder gets to finish the partial file


class FfmpegSink:
    """`argv(film, url, metadata_fd)` is the command; `start` runs it as an Encoder."""

    def __init__(
        self,
        name: str,
        place: Place,
        argv: Callable[[FilmInfo, str, int | None], list[str]],
        *,
        tells: bool,
        start: Callable[..., Encoder] = Encoder,
    ) -> None:
        self.name = name
        self._place = place
        self._argv = argv
        self._tells = tells
        self._start = start
        self._encoder: Encoder | None = None
        self._ready = False
        self._shape = (0, 0, 3)
        self._written = 0

    def open(self, film: FilmInfo) -> None:
        self._place.prepare()
        self._ready = True
        self._shape = (film.height, film.width, 3)
        self._written = 0
        notes = metadata_text(film) if self._tells and (film.metadata or film.chapters) else None
        self._encoder = self._start(partial(self._argv, film, self._place.url), notes=notes)

    @property
    def encoder(self) -> Encoder:
        if self._encoder is None:
            raise RuntimeError("the sink is not open")
        return self._encoder

    def write(self, frames: np.ndarray) -> None:
        if frames.dtype != np.uint8 or frames.shape[1:] != self._shape:
            raise ValueError(f"frames are {frames.dtype} {frames.shape}, the film is uint8 {self._shape}")
        with self._naming_the_film():
            self.encoder.write(frames)
        self._written += len(frames)
        # What lies in pipes and queues is lost when the encoder is killed.
        self.encoder.settle(self._written - _HELD, _SETTLING)

    def check(self) -> None:
        with self._naming_the_film():
            self.encoder.check()

    def close(self) -> None:
        with self._naming_the_film():
            self.encoder.finish(timeout=None)
            if self.encoder.encoded != self._written:
                raise OutputError(f"{self.encoder.encoded} of {self._written} frames were encoded")
            self._place.commit()

    def abort(self) -> str | None:
        if self._encoder is not None:
            with contextlib.suppress(LingbotError):
                self._encoder.finish(timeout=_PATIENCE)
        kept = self._place.partial
        if kept is None or not self._ready:
            return None
        if self._written == 0:
            with contextlib.suppress(OSError):
                kept.rmdir() if kept.is_dir() else kept.unlink()
            return None
        return str(kept)

    @contextlib.contextmanager
    def _naming_the_film(self):  # type: ignore[no-untyped-def]
        try:
            yield
        except OutputError as failure:
            raise OutputError(f"{self.name}: {failure}", hint=failure.hint) from failure
