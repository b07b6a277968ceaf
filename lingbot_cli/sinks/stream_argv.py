"""ffmpeg's command line for a live stream, as a pure function."""

from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.codecs import CODECS
from lingbot_cli.sinks.ffmpeg_args import keyframe_interval

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
