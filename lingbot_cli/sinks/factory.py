"""From what stands after -o to a sink."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.base import NullSink, Sink, TeeSink
from lingbot_cli.sinks.encoding import Encoding
from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg, resolve_codec
from lingbot_cli.sinks.ffmpeg_sink import FfmpegSink
from lingbot_cli.sinks.formats import CODECS, choose_codec, choose_format, format_of_suffix
from lingbot_cli.sinks.output_paths import ImageSequence, OutputFile
from lingbot_cli.sinks.resumable import PipeOutput, ResumableFile, ResumableOutput, ResumableSequence


@dataclass(frozen=True)
class OutputOptions:
    """How films are to be written: what --quality, --codec, --crf, --format and --overwrite say.

    `keep` is a folder for what it takes to go on with them after an interruption.
    """

    quality: str = "web"
    codec: str | None = None
    crf: int | None = None
    format: str | None = None
    overwrite: bool = False
    keep: Path | None = None


def choose_sinks(
    targets: Sequence[str], options: OutputOptions, environ: Mapping[str, str], stdout: BinaryIO | None = None
) -> Sink:
    """Return the sink for all of `targets`, or raise a UsageError about the one that cannot be."""
    same = {target for target in targets if targets.count(target) > 1}
    if same:
        raise UsageError(f"-o {same.pop()} is named twice")
    if options.format is not None and all(
        target == "null:" or format_of_suffix(target) for target in targets
    ):
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
    container = choose_format(target, options.format)
    codec_name = choose_codec(container, options.quality, options.codec)
    ffmpeg = find_ffmpeg(environ)
    codec = CODECS[resolve_codec(ffmpeg, codec_name)]
    if options.crf is not None and not codec.quality:
        raise UsageError(f"--crf {options.crf}: {codec.encoder} has no such setting", hint="leave --crf out")
    encoding = Encoding(ffmpeg, container, codec, options.quality, options.crf)
    path = Path(target)
    if target == "-":
        if container.piped is None or stdout is None:
            raise UsageError(
                f"{container.muxer} cannot be written to standard output", hint="use --format y4m"
            )
        return FfmpegSink("standard output", PipeOutput(encoding, stdout), tells=container.tells)
    growth: ResumableOutput
    if container.sequence:
        growth = ResumableSequence(ImageSequence(path, overwrite=options.overwrite), encoding, options.keep)
    else:
        growth = ResumableFile(OutputFile(path, overwrite=options.overwrite), encoding, options.keep)
    return FfmpegSink(os.fspath(target), growth, tells=container.tells)
