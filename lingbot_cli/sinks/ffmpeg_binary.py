"""ffmpeg executable: its path and version, and the codecs that work on this machine."""

import re
import subprocess
from collections.abc import Mapping
from functools import lru_cache

from lingbot_cli.errors import SetupError
from lingbot_cli.sinks.codecs import CODEC_FAMILIES, CODECS, Codec

MIN_VERSION = (7, 1)  # the first to write MP4 that is fragmented only until it is finished


def find_ffmpeg(environ: Mapping[str, str]) -> str:
    """Return the path of ffmpeg: LINGBOT_FFMPEG, or the executable installed with lingbot."""
    path = environ.get("LINGBOT_FFMPEG")
    if not path:
        import imageio_ffmpeg

        path = imageio_ffmpeg.get_ffmpeg_exe()
    version = _version(path)
    if version is not None and version < MIN_VERSION:
        raise SetupError(
            f"{path} is ffmpeg {version[0]}.{version[1]}; {MIN_VERSION[0]}.{MIN_VERSION[1]} or newer is needed",
            hint="leave LINGBOT_FFMPEG unset to use the ffmpeg that came with lingbot",
        )
    return path


@lru_cache(maxsize=4)
def version_line(path: str) -> str:
    """Return the first line of `ffmpeg -version`."""
    try:
        output = subprocess.run(
            [path, "-version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as failure:
        raise SetupError(
            f"ffmpeg does not run: {path}: {failure}", hint="set LINGBOT_FFMPEG to a working ffmpeg"
        ) from failure
    return output.partition("\n")[0]


def _version(path: str) -> tuple[int, int] | None:
    """Return (major, minor), or None for a build named by its date."""
    found = re.match(r"ffmpeg version n?(\d+)\.(\d+)", version_line(path))
    return (int(found[1]), int(found[2])) if found else None


@lru_cache(maxsize=4)
def sends_whip(ffmpeg: str) -> bool:
    """Return whether ffmpeg can send over WHIP, as version 8 can if it was built with DTLS."""
    command = [ffmpeg, "-hide_banner", "-h", "muxer=whip"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return "WHIP muxer AVOptions" in done.stdout


def check_whip(ffmpeg: str) -> None:
    """Raise SetupError unless ffmpeg can send over WHIP."""
    if not sends_whip(ffmpeg):
        raise SetupError(
            f"{ffmpeg} cannot send over WHIP",
            hint="leave LINGBOT_FFMPEG unset to use the ffmpeg that came with lingbot, or set it to ffmpeg 8 "
            "or newer whose `ffmpeg -muxers` lists whip",
        )


def resolve_codec(ffmpeg: str, name: str) -> str:
    """Return `name`, or for a family (h264, hevc) its first codec that works on this machine."""
    *hardware, software = CODEC_FAMILIES.get(name, (name,))
    return next((codec for codec in hardware if codec_works(ffmpeg, codec)), software)


@lru_cache(maxsize=16)
def codec_works(ffmpeg: str, name: str) -> bool:
    """Encode one second of a test image; return whether the codec managed it."""
    return _trial_error(ffmpeg, CODECS[name], frames=16, timeout_s=10) is None


@lru_cache(maxsize=16)
def check_codec(ffmpeg: str, codec: Codec) -> None:
    """Encode one frame. Errors: SetupError when the codec fails on this machine."""
    error = _trial_error(ffmpeg, codec, frames=1, timeout_s=60)
    if error is not None:
        raise SetupError(
            f"{ffmpeg} cannot encode with {codec.encoder}: {error}",
            hint="run `lingbot doctor` to list the codecs that work; leave LINGBOT_FFMPEG unset to use the ffmpeg "
            "that came with lingbot",
        )


def _trial_error(ffmpeg: str, codec: Codec, frames: int, timeout_s: float) -> str | None:
    """Encode black frames; return the first line of ffmpeg's error, None if there is none."""
    trial = [ffmpeg, "-hide_banner", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    trial += ["-s", "640x480", "-r", "16", "-i", "-", "-pix_fmt", codec.pixels, "-c:v", codec.encoder]
    trial += [*codec.args, "-f", "null", "-"]
    black = bytes(frames * 640 * 480 * 3)
    try:
        done = subprocess.run(trial, input=black, capture_output=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return f"timed out after {timeout_s:.0f} s"
    if not done.returncode:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return re.sub(r"^\[.*?\] ", "", lines[0]) if lines else f"exit code {done.returncode}"
