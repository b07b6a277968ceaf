"""ffmpeg's command line, as a pure function, and the metadata file it reads."""

from collections.abc import Sequence
from fractions import Fraction

from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.formats import CODECS, Codec, Format

_KEYFRAME_INTERVAL_S = 2


def encode_args(
    ffmpeg: str,
    film: VideoInfo,
    container: Format,
    codec: Codec,
    *,
    url: str,
    quality: str = "web",
    crf: int | None = None,
    metadata_fd: int | None = None,
    first: int = 0,
) -> list[str]:
    """Return the command that reads raw RGB frames on standard input and writes the film to `url`.

    `first`: the number of the first picture of a sequence.
    """
    notes, video, told = metadata_input(metadata_fd)
    piped = url.startswith("pipe:")
    container_args = container.piped if piped and container.piped is not None else container.args
    return [
        *(ffmpeg, "-hide_banner", "-nostats", "-loglevel", "warning", "-y"),
        *("-progress", "pipe:2", "-stats_period", "0.05"),
        *notes,
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{film.width}x{film.height}"),
        *("-framerate", str(film.fps), "-i", "pipe:0"),
        *("-map", f"{video}:v", *told),
        *("-vf", _filters(film, codec)),
        *("-c:v", codec.encoder, "-pix_fmt", codec.pixels),
        *("-g", str(keyframe_interval(film.fps)), "-fps_mode", "passthrough"),
        *codec.args,
        *_quality_args(codec, quality, crf),
        *container_args,
        *(("-start_number", str(first)) if container.sequence else ()),
        *("-f", container.muxer, url),
    ]


def metadata_input(metadata_fd: int | None) -> tuple[Sequence[str], int, Sequence[str]]:
    """Return the input that holds the metadata, the number of the input after it, and what to take from it."""
    if metadata_fd is None:
        return (), 0, ("-map_metadata", "-1")
    # The notes come first: probing the frames waits for the first of them.
    return ("-f", "ffmetadata", "-i", f"pipe:{metadata_fd}"), 1, ("-map_metadata", "0", "-map_chapters", "0")


def _filters(film: VideoInfo, codec: Codec) -> str:
    """Convert colours once; where a codec needs even sides, repeat the last row or column."""
    right, bottom = (film.width % 2, film.height % 2) if codec.even else (0, 0)
    if not (right or bottom):
        return codec.filters
    pad = f"pad={film.width + right}:{film.height + bottom}"
    return f"{pad},fillborders=right={right}:bottom={bottom}:mode=smear,{codec.filters}"


def _quality_args(codec: Codec, quality: str, crf: int | None) -> Sequence[str]:
    draft = quality == "draft"
    if not codec.quality:
        return codec.fast if draft else ()
    number = crf if crf is not None else codec.draft if draft else codec.web
    return (codec.quality, str(number), *(codec.fast if draft else ()))


def keyframe_interval(fps: Fraction) -> int:
    """How many frames a keyframe is apart from the next, at most."""
    return max(1, round(fps * _KEYFRAME_INTERVAL_S))


_BITS_PER_PIXEL = 0.35
_LEAST, _MOST = 300, 12_000  # kbit/s that streaming services take


def default_bitrate(film: VideoInfo) -> int:
    """A fitting bit rate in kbit/s: what 0.35 bits a pixel come to, 2,200 for 832x480 at 16 fps."""
    return min(max(_LEAST, round(film.height * film.width * film.fps * _BITS_PER_PIXEL / 1000)), _MOST)


def stream_args(
    ffmpeg: str, film: VideoInfo, *, url: str, muxer: str, kbits: int | None = None, audio: bool = True
) -> list[str]:
    """Return the command that reads raw RGB frames and writes H.264 of a constant rate, at once, to `url`.

    A keyframe every 2 s, no frames held back, and with `audio` a silent AAC track, which services want.
    """
    rate = kbits or default_bitrate(film)
    silence = ("-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo") if audio else ()
    track = ("-map", "1:a", "-c:a", "aac", "-b:a", "96k", "-shortest") if audio else ()
    return [
        *(ffmpeg, "-hide_banner", "-nostats", "-loglevel", "warning"),
        *("-progress", "pipe:2", "-stats_period", "0.5"),
        *("-probesize", "32", "-analyzeduration", "0", "-f", "rawvideo", "-pix_fmt", "rgb24"),
        *("-video_size", f"{film.width}x{film.height}", "-framerate", str(film.fps), "-i", "pipe:0"),
        *silence,
        *("-map", "0:v", "-map_metadata", "-1", "-vf", CODECS["x264"].filters, "-c:v", "libx264"),
        *("-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-fps_mode", "passthrough"),
        *("-g", str(keyframe_interval(film.fps)), "-sc_threshold", "0"),
        *("-b:v", f"{rate}k", "-minrate", f"{rate}k", "-maxrate", f"{rate}k", "-bufsize", f"{rate}k"),
        *("-x264-params", "nal-hrd=cbr"),
        *track,
        *("-flush_packets", "1", "-muxdelay", "0", "-f", muxer, url),
    ]
