"""The table of film formats: container, the codecs it takes, and how its name is recognised."""

from dataclasses import dataclass

from lingbot_cli.errors import UsageError

_SCALE = "scale=in_range=full:out_range={range}:out_color_matrix={matrix}:flags=accurate_rnd+full_chroma_int"
_TAG_BT709 = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
_TO_YUV420_BT709 = _SCALE.format(range="limited", matrix="bt709") + ",format=yuv420p," + _TAG_BT709
_GIF = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=bayer:bayer_scale=3"
_X265 = "log-level=error:rc-lookahead=4:bframes=2:frame-threads=1"
_SVT = "pred-struct=1:lookahead=0"


@dataclass(frozen=True)
class Codec:
    """One way to encode.

    `filters` turn RGB into what `pixels` (ffmpeg's pix_fmt) holds. `quality` is the flag that takes the
    quality number, `web` and `draft` that number's values, `args` what is always said and `fast` what
    a draft adds. `even`: width and height must be even. `lossless`: the frames come back bit for bit.
    """

    encoder: str
    pixels: str
    filters: str = ""
    args: tuple[str, ...] = ()
    fast: tuple[str, ...] = ()
    quality: str = ""
    web: int = 0
    draft: int = 0
    even: bool = False
    lossless: bool = False


def _video(encoder: str, quality: str, web: int, draft: int, *args: str, fast: tuple[str, ...]) -> Codec:
    """A YUV 4:2:0 video codec: BT.709, really converted and said so."""
    return Codec(
        encoder, "yuv420p", _TO_YUV420_BT709, args, fast, quality=quality, web=web, draft=draft, even=True
    )


CODECS = {
    "x264": _video(
        *("libx264", "-crf", 18, 28, "-bf", "2"),
        *("-x264-params", "rc-lookahead=4:sync-lookahead=0:sliced-threads=1"),
        fast=("-preset", "ultrafast"),
    ),
    "x264rgb": Codec(
        *("libx264rgb", "rgb24", "format=rgb24"),
        args=(
            "-qp",
            "0",
            "-preset",
            "veryfast",
            "-bf",
            "0",
            "-x264-params",
            "rc-lookahead=4:sliced-threads=1",
        ),
        lossless=True,
    ),
    "x265": _video(
        *("libx265", "-crf", 22, 32, "-preset", "superfast", "-tag:v", "hvc1", "-x265-params", _X265),
        fast=("-preset", "ultrafast"),
    ),
    "vp9": _video(
        *("libvpx-vp9", "-crf", 24, 40, "-b:v", "0", "-lag-in-frames", "0", "-row-mt", "1"),
        *("-deadline", "realtime", "-cpu-used", "5"),
        fast=("-cpu-used", "8"),
    ),
    "av1": _video(
        "libsvtav1", "-crf", 26, 45, "-preset", "10", "-svtav1-params", _SVT, fast=("-preset", "12")
    ),
    "ffv1": Codec("ffv1", "bgr0", "format=bgr0", ("-level", "3", "-g", "1", "-slicecrc", "1"), lossless=True),
    "h264_nvenc": _video(
        *("h264_nvenc", "-cq", 20, 32, "-rc", "vbr", "-b:v", "0", "-bf", "0", "-delay", "0"),
        fast=("-preset", "p1"),
    ),
    "hevc_nvenc": _video(
        *("hevc_nvenc", "-cq", 22, 34, "-rc", "vbr", "-b:v", "0", "-bf", "0", "-delay", "0"),
        *("-tag:v", "hvc1"),
        fast=("-preset", "p1"),
    ),
    "h264_qsv": _video(
        "h264_qsv", "-global_quality", 20, 32, "-bf", "0", "-async_depth", "1", fast=("-preset", "veryfast")
    ),
    "hevc_qsv": _video(
        *("hevc_qsv", "-global_quality", 22, 34, "-bf", "0", "-async_depth", "1", "-tag:v", "hvc1"),
        fast=("-preset", "veryfast"),
    ),
    "gif": Codec("gif", "pal8", _GIF),
    "webp": Codec(
        *("libwebp", "bgra", "format=bgra", ("-compression_level", "2")), quality="-quality", web=85, draft=60
    ),
    "webp-lossless": Codec(
        *("libwebp", "bgra", "format=bgra"),
        args=("-lossless", "1", "-compression_level", "0", "-quality", "20"),
        lossless=True,
    ),
    "png": Codec(
        *("png", "rgb24", "format=rgb24", ("-threads", "4", "-compression_level", "3")), lossless=True
    ),
    "jpeg": Codec(
        *(
            "mjpeg",
            "yuvj444p",
            _SCALE.format(range="full", matrix="bt601") + ",format=yuvj444p",
            ("-threads", "4"),
        ),
        quality="-q:v",
        web=2,
        draft=6,
    ),
    "yuv": Codec(
        "rawvideo", "yuv420p", _SCALE.format(range="limited", matrix="bt601") + ",format=yuv420p", even=True
    ),
    "rgb": Codec("rawvideo", "rgb24", "format=rgb24", lossless=True),
}

# What `--codec h264` and `--codec hevc` stand for: the first of these that works on this machine.
CODEC_FAMILIES = {
    "h264": ("h264_nvenc", "h264_qsv", "x264"),
    "hevc": ("hevc_nvenc", "hevc_qsv", "x265"),
}


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
