"""Names of outputs while they are written, and outputs that would write the same file."""

import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from lingbot_cli.errors import UsageError
from lingbot_cli.files import derived_path, find_stream, follow_link
from lingbot_cli.sinks.formats import PLAYLIST_SUFFIX, is_sequence
from lingbot_cli.sinks.frame_pattern import FramePattern

_SEGMENT = re.compile(r"(.+)\.\d+\.ts")
_UNSAFE = re.compile(r"[%#?:\\\"\s~]")


def partial_name(path: Path) -> Path:
    """Return the name of an incomplete video: walk.mp4 → walk.partial.mp4, walk.m3u8 → walk.m3u8.partial.ts."""
    if path.suffix.lower() == PLAYLIST_SUFFIX:
        return derived_path(path, ".partial.ts", stem=path.name)
    return derived_path(path, f".partial{path.suffix}", stem=path.stem)


def segment_stem(playlist: Path) -> str:
    """Return the beginning of the segments' names, with no character that has a meaning in URLs or patterns.

    Two stems have different ones: `a b` → a~20b.
    """
    return _UNSAFE.sub(lambda character: f"~{ord(character[0]):02x}", playlist.stem)


def copy_name(target: str, suffix: str) -> str:
    """Return the name of another version of an output: a.mp4 → a.SUFFIX.mp4, a/%05d.png → a.SUFFIX/%05d.png."""
    path = Path(target)
    if is_sequence(target):
        return str(_sibling_folder(path.parent, "", suffix) / path.name)
    return str(derived_path(path, f".{suffix}{path.suffix}", stem=path.stem))


def subtitle_name(target: str) -> Path:
    """Return the subtitles beside an output: a.mp4 → a.srt, a/%05d.png → a.srt."""
    path = Path(target)
    if is_sequence(target):
        return _sibling_folder(path.parent, "", "srt")
    return derived_path(path, ".srt", stem=path.stem)


def _sibling_folder(folder: Path, text: str, suffix: str) -> Path:
    """Return frames.TEXT.SUFFIX for frames/, also for a sequence in the working directory."""
    folder = folder if folder.name else Path("frames")
    return derived_path(folder, f".{suffix}", stem=f"{folder.name}.{text}" if text else folder.name)


def sequence_folder(target: Path, suffix: str) -> Path:
    """Return a folder for an image sequence's own use: a/%05d.png → a.SUFFIX, a/left-%05d.png → a.left.SUFFIX."""
    names = FramePattern.parse(target.name)
    text = names.before.strip(" .-_") if names is not None else ""
    return _sibling_folder(follow_link(target.parent), text, suffix)


def is_partial_name(target: str) -> bool:
    """Return whether a name is one that `partial_name` or `sequence_folder` gives to an incomplete output."""
    path = Path(target)
    stem = path.absolute().parent.name if is_sequence(target) else path.stem
    return stem.lower().endswith(".partial")


def sequence_names(targets: Sequence[str], folder: Path, count: int) -> list[str] | None:
    """Return the names, as seen from `folder`, of `count` frames in the first image sequence of `targets`.

    None without a sequence. Images are numbered from 0.
    """
    for target in map(Path, targets):
        pattern = FramePattern.parse(target.name)
        if pattern is not None:
            below = Path(os.path.relpath(target.parent, folder)).as_posix()
            return [f"{below}/{pattern.name(frame)}" for frame in range(count)]
    return None


def check_distinct(targets: Iterable[str], *, option: str = "-o") -> None:
    """Raise UsageError if two outputs are the same file, stream or folder of images; `option` names them.

    A playlist has the names of its segments, too.
    """
    real_folder = lru_cache(os.path.realpath)  # a batch has many files in one folder
    names: dict[str, str] = {}
    for target in targets:
        place = _place(target, real_folder)
        if place is None:
            continue
        if place in names:
            same = "given twice" if names[place] == target else f"the same place as {option} {names[place]}"
            raise UsageError(f"{option} {target}: {same}", hint="leave one of them out")
        names[place] = target
    playlists: dict[tuple[Path, str], str] = {}
    for place, target in names.items():
        if place.lower().endswith(PLAYLIST_SUFFIX):
            segments = (Path(place).parent, segment_stem(Path(place)))
            if segments in playlists:  # a.m3u8 and a.M3U8
                problem = f"{option} {target}: its segments have the names of those of {option} {playlists[segments]}"
                raise UsageError(problem, hint="choose another name")
            playlists[segments] = target
    for place, target in names.items():
        match = _SEGMENT.fullmatch(Path(place).name) if playlists else None
        if match is not None and (playlist := playlists.get((Path(place).parent, match[1]))):
            problem = f"{option} {target}: a segment of {option} {playlist} can have this name"
            raise UsageError(problem, hint="choose another name")


def _place(target: str, real_folder: Callable[[Path], str]) -> str | None:
    """Return a text equal for outputs in the same place; None for a place that several can share."""
    if target == "null:":
        return target
    path = Path("/dev/stdout") if target == "-" else Path(target)
    if find_stream(path) is not None:
        return None if stat.S_ISCHR(path.stat().st_mode) else os.path.realpath(path)
    path = (
        sequence_folder(path.absolute(), "partial") if is_sequence(target) else follow_link(path.absolute())
    )
    return str(Path(real_folder(path.parent), path.name))
