"""From what stands after -o to a sink."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.argv import encode_argv
from lingbot_cli.sinks.base import FilmInfo, Sink
from lingbot_cli.sinks.binary import find_ffmpeg, working_codec
from lingbot_cli.sinks.codecs import CODECS
from lingbot_cli.sinks.ffmpeg import FfmpegSink
from lingbot_cli.sinks.formats import codec_of, ending_says, format_of
from lingbot_cli.sinks.null import NullSink
from lingbot_cli.sinks.piped import PipedEncoder
from lingbot_cli.sinks.place import FilePlace, FolderPlace, PipePlace, Place
from lingbot_cli.sinks.process import Encoder
from lingbot_cli.sinks.tee import TeeSink


@dataclass(frozen=True)
class OutputOptions:
    """How films are to be written: what --quality, --codec, --crf, --format and --overwrite say."""

    quality: str = "web"
    codec: str | None = None
    crf: int | None = None
    format: str | None = None
    overwrite: bool = False


def choose_sinks(
    targets: Sequence[str], options: OutputOptions, environ: Mapping[str, str], stdout: BinaryIO | None = None
) -> Sink:
    """Return the sink for all of `targets`, or raise a UsageError about the one that cannot be."""
    same = {target for target in targets if targets.count(target) > 1}
    if same:
        raise UsageError(f"-o {same.pop()} is named twice")
    if options.format is not None and all(target == "null:" or ending_says(target) for target in targets):
        raise UsageError(
            f"--format {options.format}: the names say their formats already", hint="leave --format out"
        )
    sinks = [choose_sink(target, options, environ, stdout) for target in targets]
    return sinks[0] if len(sinks) == 1 else TeeSink(sinks)


def choose_sink(
    target: str, options: OutputOptions, environ: Mapping[str, str], stdout: BinaryIO | None = None
) -> Sink:
    """Return the sink for one target: a file, a numbered sequence, `-` or `null:`."""
    if target == "null:":
        return NullSink()
    container = format_of(target, options.format)
    codec_name = codec_of(container, options.quality, options.codec)
    ffmpeg = find_ffmpeg(environ)
    codec = CODECS[working_codec(ffmpeg, codec_name)]
    if options.crf is not None and not codec.quality:
        raise UsageError(f"--crf {options.crf}: {codec.encoder} has no such setting", hint="leave --crf out")
    place: Place
    if target == "-":
        if container.piped is None or stdout is None:
            raise UsageError(
                f"{container.muxer} cannot be written to standard output", hint="use --format y4m"
            )
        place = PipePlace()
    elif container.sequence:
        place = FolderPlace(Path(target), overwrite=options.overwrite)
    else:
        place = FilePlace(Path(target), overwrite=options.overwrite)

    def argv(film: FilmInfo, url: str, metadata_fd: int | None) -> list[str]:
        return encode_argv(
            *(ffmpeg, film, container, codec),
            url=url,
            quality=options.quality,
            crf=options.crf,
            metadata_fd=metadata_fd,
        )

    name = "standard output" if target == "-" else os.fspath(target)
    start = Encoder if stdout is None or target != "-" else partial(PipedEncoder, output=stdout)
    return FfmpegSink(name, place, argv, tells=container.tells, start=start)
