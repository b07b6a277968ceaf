"""ffmpeg arguments to encode a file or a live stream, built by pure functions."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.codecs import CODECS, Codec
from lingbot_cli.sinks.output_paths import segment_stem
from lingbot_cli.sinks.rescale import UNSCALED, Rescale
from lingbot_cli.sinks.soundtrack import Soundtrack

_KEYFRAME_INTERVAL_S = 2
_HD_WIDTH, _SD_HEIGHT = 1280, 576  # players take wider or higher video without colour tags as BT.709
_BITS_PER_PIXEL = 0.35
_MIN_KBITS, _MAX_KBITS = 300, 12_000  # accepted by streaming services


def stream_args(
    ffmpeg: str,
    video: VideoInfo,
    *,
    url: str,
    muxer: str,
    kbits: int | None = None,
    audio: bool = True,
    rescale: Rescale = UNSCALED,
    soundtrack: Soundtrack | None = None,
) -> list[str]:
    """Return the command that reads raw RGB frames and sends H.264 at a constant rate to `url`, without delay.

    `kbits`: bit rate in kbit/s. A keyframe every 2 s; with `audio` an AAC track, which services require: the
    `soundtrack`, else silence.
    """
    shown = rescale.applied(video)
    rate = f"{kbits or default_bitrate(shown)}k"
    filters = ",".join([*rescale.filters(video), codec_filters(shown, CODECS["x264"])])
    args = [ffmpeg, "-hide_banner", "-nostats", "-loglevel", "warning"]
    args += ["-progress", "pipe:2", "-stats_period", "0.5"]
    args += ["-probesize", "32", "-analyzeduration", "0"]
    args += raw_frames_input(video)
    if audio:
        source = "anullsrc=r=44100:cl=stereo" if soundtrack is None else soundtrack.endless_source()
        args += ["-f", "lavfi", "-i", source]
    args += ["-map", "0:v", "-map_metadata", "-1", "-vf", filters, "-c:v", "libx264"]
    args += ["-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-fps_mode", "passthrough"]
    args += ["-g", str(keyframe_interval(shown.fps)), "-sc_threshold", "0"]
    whip = muxer == "whip"
    args += ["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate]
    # Every browser decodes the baseline; streaming services require a constant bit rate.
    args += ["-profile:v", "baseline"] if whip else ["-x264-params", "nal-hrd=cbr"]
    if audio:
        codec = ["libopus", "-ar", "48000", "-ac", "2"] if whip else ["aac"]
        args += ["-map", "1:a", "-c:a", *codec, "-b:a", "96k", "-shortest"]
    if whip:
        args += ["-handshake_timeout", "3000"]
    if muxer == "hls":
        # A restarted encoder continues the same playlist; its end turns the stream into a video on demand.
        args += ["-hls_time", "2", "-hls_playlist_type", "event", *segment_args(Path(url))]
        args += ["-hls_flags", "append_list+independent_segments+temp_file"]
    return [*args, "-flush_packets", "1", "-muxdelay", "0", "-f", muxer, url]


def segment_args(playlist: Path) -> list[str]:
    """Return the option that names the segments, seen from the playlist's folder: live/index.m3u8 → index.0.ts."""
    return ["-hls_segment_filename", f"{segment_stem(playlist)}.%d.ts"]


def default_bitrate(video: VideoInfo) -> int:
    """Return a bit rate in kbit/s: 0.35 bits per pixel, which is 2,200 for 832×480 at 16 fps."""
    rate = round(video.height * video.width * video.fps * _BITS_PER_PIXEL / 1000)
    return min(max(_MIN_KBITS, rate), _MAX_KBITS)


def keyframe_interval(fps: Fraction) -> int:
    """Return the largest distance between two keyframes, in frames."""
    return max(1, round(fps * _KEYFRAME_INTERVAL_S))


def metadata_input(url: str | None) -> tuple[list[str], int, list[str]]:
    """Return the arguments that open ffmetadata text, the number of the next input, and the metadata mapping."""
    if url is None:
        return [], 0, ["-map_metadata", "-1"]
    # The metadata comes first: probing the frames waits for the first of them.
    return ["-f", "ffmetadata", "-i", url], 1, ["-map_metadata", "0", "-map_chapters", "0"]


def raw_frames_input(video: VideoInfo) -> list[str]:
    """Return the arguments that read raw RGB frames on standard input."""
    args = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{video.width}x{video.height}"]
    return [*args, "-framerate", str(video.fps), "-i", "pipe:0"]


def codec_filters(video: VideoInfo, codec: Codec) -> str:
    """Return the colour conversion; where a codec needs even sides, the last row or column is repeated."""
    hd = video.width >= _HD_WIDTH or video.height > _SD_HEIGHT
    filters = codec.hd_filters if hd and codec.hd_filters else codec.filters
    right, bottom = (video.width % 2, video.height % 2) if codec.even else (0, 0)
    if not (right or bottom):
        return filters
    pad = f"pad={video.width + right}:{video.height + bottom}"
    return f"{pad},fillborders=right={right}:bottom={bottom}:mode=smear,{filters}"


def quality_args(codec: Codec, quality: str, crf: int | None) -> Sequence[str]:
    """Return the arguments of a quality, or of a number that replaces it."""
    draft = quality == "draft"
    draft_args = codec.draft_args if draft else ()
    if not codec.quality_flag:
        return draft_args
    default = codec.draft_quality if draft else codec.web_quality
    return (codec.quality_flag, str(default if crf is None else crf), *draft_args)
