"""Sink of an -o option: a file, an image sequence, standard output or null:."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lingbot_cli.errors import UsageError
from lingbot_cli.files import StreamFile, check_writable, find_stream
from lingbot_cli.sinks.base import NullSink, Sink, TeeSink
from lingbot_cli.sinks.codecs import CODECS
from lingbot_cli.sinks.encoding import Encoding
from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg, resolve_codec
from lingbot_cli.sinks.ffmpeg_sink import FfmpegSink
from lingbot_cli.sinks.formats import FORMATS, Format, choose_codec, choose_format, format_of_suffix
from lingbot_cli.sinks.image_sequence import ResumableSequence
from lingbot_cli.sinks.output_paths import check_distinct, is_partial_name
from lingbot_cli.sinks.resample import MaxRateSink
from lingbot_cli.sinks.rescale import UNSCALED, Rescale
from lingbot_cli.sinks.resumable import ResumableFile, StreamOutput
from lingbot_cli.sinks.soundtrack import Soundtrack
from lingbot_cli.ui.signals import check_stop


@dataclass(frozen=True)
class OutputOptions:
    """Values of --quality, --codec, --crf, --format and --overwrite, the size and rate that is encoded, other tracks.

    `resume_dir`: folder of the links by which a later run finds partial videos, None if it cannot resume.
    """

    quality: str = "web"
    codec: str | None = None
    crf: int | None = None
    format: str | None = None
    overwrite: bool = False
    resume_dir: Path | None = None
    rescale: Rescale = UNSCALED
    audio: Soundtrack | None = None
    subtitle_track: bool = False


def choose_sinks(
    targets: Sequence[str], options: OutputOptions, environ: Mapping[str, str], stdout: BinaryIO | None = None
) -> Sink:
    """Return one sink for all `targets`. Errors: UsageError."""
    check_distinct(targets)
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
    sink = _choose_encoder(target, container, options, environ, stdout)
    if container.max_fps is None:
        return sink
    if options.rescale.fps is not None and options.rescale.fps > container.max_fps:
        raise UsageError(
            f"--interpolate {float(options.rescale.fps):g}: {container.muxer} shows at most {container.max_fps}",
            hint=f"use --interpolate {container.max_fps}, or another format",
        )
    return MaxRateSink(sink, container.max_fps)


def _choose_encoder(
    target: str,
    container: Format,
    options: OutputOptions,
    environ: Mapping[str, str],
    stdout: BinaryIO | None,
) -> Sink:
    codec_name = choose_codec(container, options.quality, options.codec)
    ffmpeg = find_ffmpeg(environ)
    codec = CODECS[resolve_codec(ffmpeg, codec_name)]
    if options.crf is not None and not codec.quality_flag:
        raise UsageError(f"--crf {options.crf}: not supported by {codec.encoder}", hint="leave out --crf")
    encoding = Encoding(
        ffmpeg,
        container,
        codec,
        options.quality,
        options.crf,
        options.rescale,
        options.audio,
        options.subtitle_track,
    )
    path = Path(target)
    if target == "-" and stdout is None:
        raise UsageError("-o -: standard output is in use", hint="name a file")
    name = "standard output" if target == "-" else target
    if target == "-" and stdout is not None:
        check_writable(Path(name), stdout.fileno())
        stream: StreamFile | None = StreamFile(path, stdout.fileno())
    else:
        stream = find_stream(path)
    _check_tracks(target, container, options, piped=stream is not None)
    if stream is not None:
        piped = _stream_output(name, stream, encoding)
        return FfmpegSink(name, piped, metadata=container.metadata, rescale=options.rescale)
    if is_partial_name(target):
        raise UsageError(
            f"-o {target}: such names are for videos that are not complete yet",
            hint=f"leave out .partial: {target.replace('.partial', '')}",
        )
    make = ResumableSequence if container.sequence else ResumableFile
    output = make(path, encoding, options.resume_dir, overwrite=options.overwrite)
    return FfmpegSink(target, output, metadata=container.metadata, rescale=options.rescale)


def _check_tracks(target: str, container: Format, options: OutputOptions, *, piped: bool) -> None:
    """Refuse sound and subtitles where an output has none. Errors: UsageError."""
    wanted = {"--audio": options.audio is not None, "--subtitles track": options.subtitle_track}
    codecs = {"--audio": container.audio_codec, "--subtitles track": container.subtitle_codec}
    for flag, asked in wanted.items():
        if asked and (codecs[flag] is None or piped):
            kind = "a pipe" if piped else container.muxer
            raise UsageError(
                f"-o {target}: {flag} is not possible in {kind}", hint="use a file of .mp4, .mov or .mkv"
            )


def _stream_output(name: str, stream: StreamFile, encoding: Encoding) -> StreamOutput:
    """Return the output of a stream. Errors: UsageError for a format that needs a file."""
    if encoding.container.piped_args is None:
        names = [name for name, each in FORMATS.items() if each.piped_args is not None]
        refused = next(name for name, each in FORMATS.items() if each is encoding.container)
        raise UsageError(
            f"-o {name}: {refused} cannot be written to a pipe, a device or standard output",
            hint=f"use --format {names[0]}, {', '.join(names[1:-1])} or {names[-1]}, or name a file",
        )
    return StreamOutput(name, encoding, partial(stream.open, check_stop))
