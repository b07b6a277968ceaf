"""Reads what a film says about itself."""

import re
import subprocess
from pathlib import Path

from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.base import Chapter, VideoInfo

_ENTRY = re.compile(r"((?:\\.|[^=\\\n])+)=((?:\\.|[^\\\n])*)\n", re.S)


def read_tags(ffmpeg: str, path: Path) -> dict[str, str]:
    """Return the metadata of a film, its keys in small letters; UsageError when it is no film."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    asked = [ffmpeg, "-v", "error", "-i", f"file:{path.absolute()}", "-f", "ffmetadata", "-"]
    done = subprocess.run(asked, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise UsageError(f"{path} is not a film that can be read")
    return parse_tags(done.stdout.decode(errors="replace"))


def parse_tags(text: str) -> dict[str, str]:
    """Return the global entries of ffmpeg's metadata notation; sections such as chapters are left out."""
    header, _, body = text.partition("\n")
    tags: dict[str, str] = {}
    at = 0
    while (entry := _ENTRY.match(body, at)) is not None and not body.startswith("[", at):
        tags[_plain(entry[1]).lower()] = _plain(entry[2])
        at = entry.end()
    return tags if header.startswith(";FFMETADATA") else {}


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.S)


def metadata_text(film: VideoInfo) -> str:
    """Return the film's metadata and chapters in ffmpeg's own notation (ffmetadata)."""
    lines = [";FFMETADATA1"]
    lines += [f"{_escape(key)}={_escape(value)}" for key, value in film.metadata.items()]
    chapters = film.chapters
    if chapters and chapters[0].start > 0:
        # In MP4 the first chapter begins with the film, wherever it is said to begin.
        chapters = (Chapter(0, "start"), *chapters)
    ends = [*(chapter.start for chapter in chapters[1:]), film.frames]
    for chapter, end in zip(chapters, ends, strict=False):
        end = chapter.start + 1 if end is None else end
        lines += [
            "[CHAPTER]",
            f"TIMEBASE={film.fps.denominator}/{film.fps.numerator}",
            f"START={chapter.start}",
            f"END={end}",
            f"title={_escape(chapter.title)}",
        ]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    for special in ("\\", "=", ";", "#", "\n"):
        text = text.replace(special, "\\" + special)
    return text
