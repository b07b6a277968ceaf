"""The table of film formats: container, the codecs it takes, and how its name is recognised."""

from dataclasses import dataclass

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.codecs import CODECS

LOSSLESS = frozenset(name for name, codec in CODECS.items() if codec.lossless)
QUALITIES = ("web", "master", "draft")

_RECOVERABLE = ("-flush_packets", "1")
_NUMBERED = ("-atomic_writing", "1")
_CLUSTERS = ("-cluster_time_limit", "250", *_RECOVERABLE)
_CLUSTER_A_FRAME = ("-cluster_size_limit", "1", *_RECOVERABLE)
_H264_FIRST = (
    "h264",
    "x264",
    "x264rgb",
    "hevc",
    "x265",
    "av1",
    "h264_nvenc",
    "hevc_nvenc",
    "h264_qsv",
    "hevc_qsv",
)


@dataclass(frozen=True)
class Format:
    """One container.

    `codecs`: names from the codec table or its families, the usual one first. `master`: the lossless
    codec. `args` keep a half-written file playable; `piped` replace them where the output cannot seek.
    `tells`: whether the file can carry metadata and chapters. `sequence`: one file a frame. `segment`: args
    that send each packet on at once, for a film that goes on where it was; None when it cannot.
    """

    muxer: str
    suffixes: tuple[str, ...]
    codecs: tuple[str, ...]
    master: str | None
    args: tuple[str, ...] = ()
    piped: tuple[str, ...] | None = None
    tells: bool = False
    sequence: bool = False
    segment: tuple[str, ...] | None = None


FORMATS = {
    "mp4": Format(
        *("mp4", (".mp4", ".m4v"), _H264_FIRST, "x264rgb"),
        args=("-movflags", "+hybrid_fragmented+use_metadata_tags", "-frag_duration", "250000", *_RECOVERABLE),
        piped=("-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "250000"),
        tells=True,
        segment=("-movflags", "+frag_every_frame+empty_moov+default_base_moof", "-flush_packets", "1"),
    ),
    "mkv": Format(
        *("matroska", (".mkv",), (*_H264_FIRST, "vp9", "ffv1"), "ffv1"),
        args=_CLUSTERS,
        piped=_CLUSTERS,
        tells=True,
        segment=_CLUSTER_A_FRAME,
    ),
    "webm": Format(
        *("webm", (".webm",), ("vp9", "av1"), None),
        args=_CLUSTERS,
        piped=_CLUSTERS,
        tells=True,
        segment=_CLUSTER_A_FRAME,
    ),
    "gif": Format("gif", (".gif",), ("gif",), None, args=_RECOVERABLE, piped=_RECOVERABLE),
    "webp": Format(
        "webp", (".webp",), ("webp", "webp-lossless"), "webp-lossless", args=("-loop", "0", *_RECOVERABLE)
    ),
    "png": Format("image2", (".png",), ("png",), "png", args=_NUMBERED, sequence=True),
    "jpeg": Format("image2", (".jpg", ".jpeg"), ("jpeg",), None, args=_NUMBERED, sequence=True),
    "y4m": Format(
        *("yuv4mpegpipe", (".y4m",), ("yuv",), None),
        args=_RECOVERABLE,
        piped=_RECOVERABLE,
        segment=_RECOVERABLE,
    ),
    "rgb": Format("rawvideo", (".rgb",), ("rgb",), "rgb", args=_RECOVERABLE, piped=_RECOVERABLE),
}


def format_of_suffix(target: str) -> Format | None:
    """Return the format that the target's ending names, if it does."""
    known = (format_ for format_ in FORMATS.values() if target.lower().endswith(format_.suffixes))
    return next(known, None)


def choose_format(target: str, name: str | None = None) -> Format:
    """Return the format that `target`'s ending names, or else the one called `name`."""
    if name is not None and name not in FORMATS:
        raise UsageError(f"--format {name}: no such format", hint=f"formats: {', '.join(FORMATS)}")
    found = format_of_suffix(target) or (FORMATS[name] if name is not None else None)
    if found is not None:
        return found
    if target == "-":
        raise UsageError(
            "-o - needs --format", hint="for example --format y4m, or --format rgb for raw frames"
        )
    endings = " ".join(suffix for format_ in FORMATS.values() for suffix in format_.suffixes)
    raise UsageError(
        f"-o {target}: the ending says no known format", hint=f"use one of {endings}, or --format"
    )


def choose_codec(format_: Format, quality: str, name: str | None) -> str:
    """Return the name of the codec to use: the asked one, the lossless one of a master, or the usual one."""
    if quality not in QUALITIES:
        raise UsageError(f"--quality {quality}: no such quality", hint=f"use one of {', '.join(QUALITIES)}")
    if name is not None:
        if name not in format_.codecs:
            raise UsageError(
                f"--codec {name}: {format_.muxer} does not take it",
                hint=f"use one of {', '.join(format_.codecs)}",
            )
        if quality == "master" and name not in LOSSLESS:
            raise UsageError(
                f"--codec {name} is not lossless, --quality master is", hint="leave one of them out"
            )
        return name
    if quality != "master":
        return format_.codecs[0]
    if format_.master is None:
        raise UsageError(
            f"--quality master: {format_.muxer} cannot keep frames exactly",
            hint="use .mkv, .mp4 or frames/%05d.png",
        )
    return format_.master
