"""Finds ffmpeg and asks it what this machine can encode."""

import re
import subprocess
from collections.abc import Mapping
from functools import lru_cache

from lingbot_cli.errors import SetupError
from lingbot_cli.sinks.formats import CODEC_FAMILIES, CODECS, Codec

MIN_VERSION = (7, 1)  # the first that writes MP4 files which are fragmented only while they grow


def find_ffmpeg(environ: Mapping[str, str]) -> str:
    """Return the ffmpeg to run: LINGBOT_FFMPEG, or the one that came with this program."""
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
    """Return what an ffmpeg says first of itself."""
    try:
        said = subprocess.run(
            [path, "-version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as failure:
        raise SetupError(
            f"ffmpeg does not run: {path}: {failure}", hint="set LINGBOT_FFMPEG to a working ffmpeg"
        ) from failure
    return said.partition("\n")[0]


def _version(path: str) -> tuple[int, int] | None:
    """Return (major, minor), or None for a build that is named by its date."""
    found = re.match(r"ffmpeg version n?(\d+)\.(\d+)", version_line(path))
    return (int(found[1]), int(found[2])) if found else None


def resolve_codec(ffmpeg: str, name: str) -> str:
    """Return `name`, or for a family (h264, hevc) its first codec that encodes one second here."""
    *hardware, software = CODEC_FAMILIES.get(name, (name,))
    return next((codec for codec in hardware if codec_works(ffmpeg, codec)), software)


@lru_cache(maxsize=16)
def codec_works(ffmpeg: str, name: str) -> bool:
    """Whether a codec of ours really encodes here, tried on one second of a test picture."""
    return _trial_error(ffmpeg, CODECS[name], frames=16, patience=10) is None


@lru_cache(maxsize=16)
def check_codec(ffmpeg: str, codec: Codec) -> None:
    """Raise SetupError unless a codec encodes a picture here."""
    complaint = _trial_error(ffmpeg, codec, frames=1, patience=60)
    if complaint is not None:
        raise SetupError(
            f"{ffmpeg} cannot encode with {codec.encoder}: {complaint}",
            hint="`lingbot doctor` lists the codecs that work; leave LINGBOT_FFMPEG unset to use the ffmpeg "
            "that came with lingbot",
        )


def _trial_error(ffmpeg: str, codec: Codec, frames: int, patience: float) -> str | None:
    """What ffmpeg says first of a codec that does not encode black frames; None when it does."""
    trial = [ffmpeg, "-hide_banner", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    trial += ["-s", "640x480", "-r", "16", "-i", "-", "-pix_fmt", codec.pixels, "-c:v", codec.encoder]
    trial += [*codec.args, "-f", "null", "-"]
    black = bytes(frames * 640 * 480 * 3)
    try:
        done = subprocess.run(trial, input=black, capture_output=True, timeout=patience)
    except subprocess.TimeoutExpired:
        return f"it did not end within {patience:.0f} s"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return (
        (re.sub(r"^\[.*?\] ", "", said[0]) if said else f"exit code {done.returncode}")
        if done.returncode
        else None
    )
