"""HLS playlists: their segments beside them, and the playlist of a complete video."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lingbot_cli.errors import OutputError, UsageError, write_errors
from lingbot_cli.files import check_new, find_stream
from lingbot_cli.sinks.concat import remux
from lingbot_cli.sinks.ffmpeg_args import segment_args
from lingbot_cli.sinks.output_paths import segment_stem
from lingbot_cli.ui.signals import check_stop


def find_segments(playlist: Path) -> list[Path]:
    """Return the segments of a playlist that exist."""
    names = re.compile(re.escape(segment_stem(playlist)) + r"\.\d+\.ts")
    return [path for path in playlist.parent.glob("*.ts") if names.fullmatch(path.name)]


def check_playlist(playlist: Path, *, overwrite: bool) -> None:
    """Refuse a playlist that exists, or whose segments do, unless they may be replaced. Errors: UsageError."""
    check_new(playlist, overwrite=overwrite)
    if find_stream(playlist) is not None:
        raise UsageError(f"{playlist} is a pipe or a device", hint="choose the name of a file")
    for segment in find_segments(playlist):
        check_new(segment, overwrite=overwrite)


def remove_playlist(playlist: Path) -> None:
    """Remove a playlist and its segments, if they exist. Errors: OutputError."""
    with write_errors(playlist):
        for path in (playlist, *find_segments(playlist)):
            path.unlink(missing_ok=True)


def write_playlist(ffmpeg: str, tracks: Sequence[str], playlist: Path) -> None:
    """Copy `tracks`, arguments of ffmpeg, into segments and write their playlist last; replace an earlier one.

    Errors: OutputError, before anything is replaced.
    """
    with write_errors(playlist), tempfile.TemporaryDirectory(prefix=".hls-", dir=playlist.parent) as folder:
        made = Path(folder, playlist.name)
        args = [*tracks, "-hls_time", "6", "-hls_playlist_type", "vod"]
        args += ["-hls_flags", "independent_segments", "-muxdelay", "0"]
        if not remux(ffmpeg, [*args, *segment_args(made)], "hls", made):
            check_stop()
            raise OutputError(f"{playlist}: the segments could not be written")
        remove_playlist(playlist)
        for path in (*find_segments(made), made):
            path.replace(playlist.with_name(path.name))
