"""Metadata and chapters of a video in ffmpeg's ffmetadata notation: written for an encoder, read from a file."""

import re
import subprocess
from pathlib import Path

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.base import Chapter, VideoInfo

_ENTRY = re.compile(r"((?:\\.|[^=\\\n])+)=((?:\\.|[^\\\n])*)\n", re.S)


def metadata_text(video: VideoInfo) -> str:
    """Return the video's metadata and chapters in ffmetadata notation."""
    lines = [";FFMETADATA1"]
    lines += [f"{_escape(key)}={_escape(value)}" for key, value in video.metadata.items()]
    chapters = video.chapters
    if chapters and chapters[0].start > 0:
        # In MP4 the first chapter begins with the video, whatever its start says.
        chapters = (Chapter(0, "start"), *chapters)
    ends = [*(chapter.start for chapter in chapters[1:]), video.frames]
    for chapter, end in zip(chapters, ends, strict=False):
        lines += [
            "[CHAPTER]",
            f"TIMEBASE={video.fps.denominator}/{video.fps.numerator}",
            f"START={chapter.start}",
            f"END={chapter.start + 1 if end is None else end}",
            f"title={_escape(chapter.title)}",
        ]
    return "\n".join(lines) + "\n"


def read_tags(ffmpeg: str, path: Path) -> dict[str, str]:
    """Return the metadata of a video file, keys in lower case. Errors: UsageError when it is not a video."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    command = [ffmpeg, "-v", "error", "-i", f"file:{path.absolute()}", "-f", "ffmetadata", "-"]
    done = subprocess.run(command, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise UsageError(f"{path}: not a readable video")
    return parse_tags(done.stdout.decode(errors="replace"))


def parse_tags(text: str) -> dict[str, str]:
    """Return the global entries of ffmetadata text, without sections such as chapters."""
    header, _, body = text.partition("\n")
    tags: dict[str, str] = {}
    at = 0
    while (entry := _ENTRY.match(body, at)) is not None and not body.startswith("[", at):
        tags[_unescape(entry[1]).lower()] = _unescape(entry[2])
        at = entry.end()
    return tags if header.startswith(";FFMETADATA") else {}


def _escape(text: str) -> str:
    for special in ("\\", "=", ";", "#", "\n"):
        text = text.replace(special, "\\" + special)
    return text


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.S)
