"""Table of file formats, and the choice of format and codec from a file name and options."""

from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.codecs import CODECS, split_args
from lingbot_cli.sinks.frame_pattern import FramePattern

PLAYLIST_SUFFIX = ".m3u8"
QUALITIES = ("web", "master", "draft")

# Without delay_moov there is no edit list, and the first frame of a file with B-frames is shown late.
_FLUSH = split_args("-flush_packets 1")
_ATOMIC_FILES = split_args("-atomic_writing 1")
# Its frames would be late by as many as a B-frame waits for.
_TRANSPORT = split_args("-bf 0 -muxdelay 0 -flush_packets 1")
_CLUSTERS = ("-cluster_time_limit", "250", *_FLUSH)
_CLUSTER_PER_FRAME = ("-cluster_size_limit", "1", *_FLUSH)
_MP4_CODECS = split_args("h264 x264 x264rgb hevc x265 av1 h264_nvenc hevc_nvenc h264_qsv hevc_qsv")


@dataclass(frozen=True)
class Format:
    """A container format of ffmpeg.

    `codecs`: names in CODECS or CODEC_FAMILIES, the default first. `master_codec`: the lossless one. `args` keep a
    partial file playable; `piped_args` replace them where the output cannot seek. `metadata`: whether the file has
    metadata and chapters. `sequence`: one file per frame. `segment_args` send each packet at once, to append to a
    video; None where frames cannot be appended. `max_fps`: the most frames a second that players show.
    `audio_codec`, `subtitle_codec`: encoders of its other tracks, None where it has none. `playlist`: the complete
    file is split into the segments of an HLS playlist.
    """

    muxer: str
    suffixes: tuple[str, ...]
    codecs: tuple[str, ...]
    master_codec: str | None
    args: tuple[str, ...] = ()
    piped_args: tuple[str, ...] | None = None
    metadata: bool = False
    sequence: bool = False
    segment_args: tuple[str, ...] | None = None
    max_fps: int | None = None
    audio_codec: str | None = None
    subtitle_codec: str | None = None
    playlist: bool = False


FORMATS = {
    "mp4": Format(
        "mp4",
        (".mp4", ".m4v"),
        _MP4_CODECS,
        "x264rgb",
        args=split_args(
            "-movflags +delay_moov+default_base_moof+use_metadata_tags -frag_duration 250000 -flush_packets 1"
        ),
        piped_args=split_args(
            "-movflags +frag_keyframe+delay_moov+default_base_moof+use_metadata_tags -frag_duration 250000"
        ),
        metadata=True,
        segment_args=split_args("-movflags +frag_every_frame+empty_moov+default_base_moof -flush_packets 1"),
        audio_codec="aac",
        subtitle_codec="mov_text",
    ),
    "mov": Format(
        "mov",
        (".mov",),
        ("prores", "prores-4444"),
        None,
        args=split_args("-movflags +delay_moov+use_metadata_tags -frag_duration 250000 -flush_packets 1"),
        metadata=True,
        audio_codec="pcm_s16le",
        subtitle_codec="mov_text",
    ),
    "mkv": Format(
        "matroska",
        (".mkv",),
        (*_MP4_CODECS, "vp9", "ffv1"),
        "ffv1",
        args=_CLUSTERS,
        piped_args=_CLUSTERS,
        metadata=True,
        segment_args=_CLUSTER_PER_FRAME,
        audio_codec="aac",
        subtitle_codec="subrip",
    ),
    "webm": Format(
        "webm",
        (".webm",),
        ("vp9", "av1"),
        None,
        args=_CLUSTERS,
        piped_args=_CLUSTERS,
        metadata=True,
        segment_args=_CLUSTER_PER_FRAME,
        audio_codec="libopus",
    ),
    "ts": Format(
        "mpegts",
        (".ts",),
        ("h264", "x264", "h264_nvenc", "h264_qsv"),
        None,
        args=_TRANSPORT,
        piped_args=_TRANSPORT,
        segment_args=_TRANSPORT,
        audio_codec="aac",
    ),
    "hls": Format(
        "mpegts",
        (PLAYLIST_SUFFIX,),
        ("h264", "x264", "h264_nvenc", "h264_qsv"),
        None,
        args=_TRANSPORT,
        segment_args=_TRANSPORT,
        audio_codec="aac",
        playlist=True,
    ),
    # Its times are hundredths of a second, and players show shorter ones than two for ten.
    "gif": Format("gif", (".gif",), ("gif",), None, args=_FLUSH, piped_args=_FLUSH, max_fps=50),
    "webp": Format(
        "webp", (".webp",), ("webp", "webp-lossless"), "webp-lossless", args=("-loop", "0", *_FLUSH)
    ),
    "png": Format("image2", (".png",), ("png",), "png", args=_ATOMIC_FILES, sequence=True),
    "jpeg": Format("image2", (".jpg", ".jpeg"), ("jpeg",), None, args=_ATOMIC_FILES, sequence=True),
    "y4m": Format(
        "yuv4mpegpipe", (".y4m",), ("yuv",), None, args=_FLUSH, piped_args=_FLUSH, segment_args=_FLUSH
    ),
    "rgb": Format("rawvideo", (".rgb",), ("rgb",), "rgb", args=_FLUSH, piped_args=_FLUSH),
}


def format_of_suffix(target: str) -> Format | None:
    """Return the format that the target's file extension names, if any."""
    return next((each for each in FORMATS.values() if target.lower().endswith(each.suffixes)), None)


def is_sequence(target: str) -> bool:
    """Return whether a name is that of an image sequence; without a known extension its frame number decides."""
    found = format_of_suffix(target)
    return found.sequence if found is not None else FramePattern.parse(Path(target).name) is not None


def choose_format(target: str, name: str | None = None) -> Format:
    """Return the format of `target`'s file extension, or else the one named by --format."""
    if name is not None and name not in FORMATS:
        raise UsageError(f"--format {name}: unknown format", hint=f"use one of {', '.join(FORMATS)}")
    found = format_of_suffix(target) or (FORMATS[name] if name is not None else None)
    if found is not None:
        return found
    if target == "-":
        raise UsageError("-o -: needs --format", hint="use --format y4m, or --format rgb for raw frames")
    suffixes = " ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)
    raise UsageError(f"-o {target}: unknown file extension", hint=f"use one of {suffixes}, or --format")


def choose_codec(format_: Format, quality: str, name: str | None) -> str:
    """Return the name of the codec: `name`, the lossless one for master quality, or the default.

    Errors: UsageError when options contradict each other.
    """
    if quality not in QUALITIES:
        raise UsageError(f"--quality {quality}: unknown quality", hint=f"use one of {', '.join(QUALITIES)}")
    if name is not None:
        if name not in format_.codecs:
            codecs = ", ".join(format_.codecs)
            raise UsageError(f"--codec {name}: not supported in {format_.muxer}", hint=f"use one of {codecs}")
        if quality == "master" and not (name in CODECS and CODECS[name].lossless):
            raise UsageError(
                f"--codec {name}: not lossless, as --quality master requires",
                hint="use --codec or --quality, not both",
            )
        return name
    if quality != "master":
        return format_.codecs[0]
    if format_.master_codec is None:
        raise UsageError(
            f"--quality master: {format_.muxer} is not lossless", hint="use .mkv, .mp4 or frames/%05d.png"
        )
    return format_.master_codec
