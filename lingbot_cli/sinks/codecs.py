"""Table of codecs: ffmpeg encoders, their options and colour conversions.

Encoders delay few frames (short lookahead, slices instead of frame threads), so a killed encoder loses less than
a second of video. They are set to keep up: three times real time at 832×480 on two cores.
"""

from dataclasses import dataclass

_SCALE = "scale=in_range=full:out_range={range}:out_color_matrix={matrix}:flags=accurate_rnd+full_chroma_int"
_TAG_BT709 = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
_TO_YUV420_BT709 = _SCALE.format(range="limited", matrix="bt709") + ",format=yuv420p," + _TAG_BT709
_TO_YUV420_BT601 = _SCALE.format(range="limited", matrix="bt601") + ",format=yuv420p"
_TO_YUV422_10, _TO_YUV444_10 = (
    _SCALE.format(range="limited", matrix="bt709") + f",format={pixels}," + _TAG_BT709
    for pixels in ("yuv422p10le", "yuv444p10le")
)
_TO_YUVJ444 = _SCALE.format(range="full", matrix="bt601") + ",format=yuvj444p"
_GIF = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=bayer:bayer_scale=3"


@dataclass(frozen=True)
class Codec:
    """An ffmpeg encoder and its options.

    `filters` convert RGB to `pixels`, an ffmpeg pix_fmt. `args` are always passed, `draft_args` for draft quality.
    `quality_flag` takes the number of --crf, or else `web_quality` or `draft_quality`. `even`: width and height
    must be even. `lossless`: decoded frames equal the input. `hd_filters`: those of HD video, in a format without
    colour tags, of which players assume BT.709.
    """

    encoder: str
    pixels: str
    filters: str = ""
    args: tuple[str, ...] = ()
    draft_args: tuple[str, ...] = ()
    quality_flag: str = ""
    web_quality: int = 0
    draft_quality: int = 0
    even: bool = False
    lossless: bool = False
    hd_filters: str = ""


def split_args(args: str) -> tuple[str, ...]:
    """Split command-line arguments at spaces."""
    return tuple(args.split())


def _yuv420(encoder: str, quality_flag: str, web: int, draft: int, args: str, draft_args: str) -> Codec:
    """Return a YUV 4:2:0 codec, converted to BT.709 and tagged so."""
    options = split_args(args)
    draft_options = split_args(draft_args)
    filters = _TO_YUV420_BT709
    return Codec(encoder, "yuv420p", filters, options, draft_options, quality_flag, web, draft, even=True)


_X264_PARAMS = "rc-lookahead=4:sync-lookahead=0:sliced-threads=1"
_X265_PARAMS = "log-level=error:rc-lookahead=4:bframes=2:frame-threads=1"
_VP9_ARGS = "-b:v 0 -lag-in-frames 0 -row-mt 1 -deadline realtime -cpu-used 5"
_NVENC_ARGS = "-rc vbr -b:v 0 -bf 0 -delay 0"
_QSV_ARGS = "-bf 0 -async_depth 1"

CODECS = {
    "x264": _yuv420("libx264", "-crf", 18, 28, f"-bf 2 -x264-params {_X264_PARAMS}", "-preset ultrafast"),
    "x264rgb": Codec(
        "libx264rgb",
        "rgb24",
        "format=rgb24",
        split_args("-qp 0 -preset veryfast -bf 0 -x264-params rc-lookahead=4:sliced-threads=1"),
        lossless=True,
    ),
    "x265": _yuv420(
        "libx265",
        "-crf",
        22,
        32,
        f"-preset superfast -tag:v hvc1 -x265-params {_X265_PARAMS}",
        "-preset ultrafast",
    ),
    "vp9": _yuv420("libvpx-vp9", "-crf", 24, 40, _VP9_ARGS, "-cpu-used 8"),
    "av1": _yuv420(
        "libsvtav1", "-crf", 26, 45, "-preset 10 -svtav1-params pred-struct=1:lookahead=0", "-preset 12"
    ),
    "prores": Codec(
        "prores_ks", "yuv422p10le", _TO_YUV422_10, split_args("-profile:v 3 -vendor apl0"), even=True
    ),
    "prores-4444": Codec("prores_ks", "yuv444p10le", _TO_YUV444_10, split_args("-profile:v 4 -vendor apl0")),
    "ffv1": Codec("ffv1", "bgr0", "format=bgr0", split_args("-level 3 -g 1 -slicecrc 1"), lossless=True),
    "h264_nvenc": _yuv420("h264_nvenc", "-cq", 20, 32, _NVENC_ARGS, "-preset p1"),
    "hevc_nvenc": _yuv420("hevc_nvenc", "-cq", 22, 34, f"{_NVENC_ARGS} -tag:v hvc1", "-preset p1"),
    "h264_qsv": _yuv420("h264_qsv", "-global_quality", 20, 32, _QSV_ARGS, "-preset veryfast"),
    "hevc_qsv": _yuv420(
        "hevc_qsv", "-global_quality", 22, 34, f"{_QSV_ARGS} -tag:v hvc1", "-preset veryfast"
    ),
    "gif": Codec("gif", "pal8", _GIF),
    "webp": Codec(
        "libwebp",
        "bgra",
        "format=bgra",
        split_args("-compression_level 2"),
        quality_flag="-quality",
        web_quality=85,
        draft_quality=60,
    ),
    "webp-lossless": Codec(
        "libwebp",
        "bgra",
        "format=bgra",
        split_args("-lossless 1 -compression_level 0 -quality 20"),
        lossless=True,
    ),
    "png": Codec(
        "png", "rgb24", "format=rgb24", split_args("-threads 4 -compression_level 3"), lossless=True
    ),
    "jpeg": Codec(
        "mjpeg",
        "yuvj444p",
        _TO_YUVJ444,
        split_args("-threads 4"),
        quality_flag="-q:v",
        web_quality=2,
        draft_quality=6,
    ),
    "yuv": Codec("rawvideo", "yuv420p", _TO_YUV420_BT601, even=True, hd_filters=_TO_YUV420_BT709),
    "rgb": Codec("rawvideo", "rgb24", "format=rgb24", lossless=True),
}

# `--codec h264` and `--codec hevc` take the first of these that works on this machine.
CODEC_FAMILIES = {
    "h264": ("h264_nvenc", "h264_qsv", "x264"),
    "hevc": ("hevc_nvenc", "hevc_qsv", "x265"),
}
