"""Sink of an -o option: a file, an image sequence, standard output or null:."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.base import NullSink, Sink, TeeSink
from lingbot_cli.sinks.codecs import CODECS
from lingbot_cli.sinks.encoding import Encoding
from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg, resolve_codec
from lingbot_cli.sinks.ffmpeg_sink import FfmpegSink
from lingbot_cli.sinks.formats import choose_codec, choose_format, format_of_suffix
from lingbot_cli.sinks.output_paths import ImageSequence, OutputFile
from lingbot_cli.sinks.resumable import PipeOutput, ResumableFile, ResumableOutput, ResumableSequence


@dataclass(frozen=True)
class OutputOptions:
    """Values of --quality, --codec, --crf, --format and --overwrite.

    `resume_dir`: folder of the links by which a later run finds partial videos, None if it cannot resume.
    """

    quality: str = "web"
    codec: str | None = None
    crf: int | None = None
    format: str | None = None
    overwrite: bool = False
    resume_dir: Path | None = None


def choose_sinks(
    targets: Sequence[str], options: OutputOptions, environ: Mapping[str, str], stdout: BinaryIO | None = None
) -> Sink:
    """Return one sink for all `targets`. Errors: UsageError."""
    repeated = {target for target in targets if targets.count(target) > 1}
    if repeated:
        raise UsageError(f"-o {repeated.pop()}: given twice")
    if options.format is not None and all(
        target == "null:" or format_of_suffix(target) for target in targets
    ):
        raise UsageError(
            f"--format {options.format}: every output has a known file extension", hint="leave out --format"
        )
    sinks = [choose_sink(target, options, environ, stdout) for target in targets]
    return sinks[0] if len(sinks) == 1 else TeeSink(sinks)


def choose_sink(
    target: str, options: OutputOptions, environ: Mapping[str, str], stdout: BinaryIO | None = None
) -> Sink:
    """Return the sink of one target: a file, a numbered sequence, `-` or `null:`. Errors: UsageError, SetupError."""
    if target == "null:":
        return NullSink()
    container = choose_format(target, options.format)
    codec_name = choose_codec(container, options.quality, options.codec)
    ffmpeg = find_ffmpeg(environ)
    codec = CODECS[resolve_codec(ffmpeg, codec_name)]
    if options.crf is not None and not codec.quality_flag:
        raise UsageError(f"--crf {options.crf}: not supported by {codec.encoder}", hint="leave out --crf")
    encoding = Encoding(ffmpeg, container, codec, options.quality, options.crf)
    path = Path(target)
    if target == "-":
        if container.piped_args is None or stdout is None:
            raise UsageError(
                f"-o -: {container.muxer} cannot be written to standard output", hint="use --format y4m"
            )
        return FfmpegSink("standard output", PipeOutput(encoding, stdout), metadata=container.metadata)
    output: ResumableOutput
    if container.sequence:
        sequence = ImageSequence(path, overwrite=options.overwrite)
        output = ResumableSequence(sequence, encoding, options.resume_dir)
    else:
        output = ResumableFile(OutputFile(path, overwrite=options.overwrite), encoding, options.resume_dir)
    return FfmpegSink(os.fspath(target), output, metadata=container.metadata)
