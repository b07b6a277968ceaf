"""The table of codecs: what ffmpeg is told for each, and how colours reach it.

Encoders hold few frames back (short lookahead, slices instead of frame threads), so a killed encoder
loses less than a second of film. They are set to keep up: three times real time at 832×480 on two cores.
"""

from dataclasses import dataclass

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
