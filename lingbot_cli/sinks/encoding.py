"""How frames become a file."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.concat import CutPoint, find_cut_point, read_packets
from lingbot_cli.sinks.ffmpeg_args import encode_args
from lingbot_cli.sinks.ffmpeg_binary import check_codec, version_line
from lingbot_cli.sinks.formats import Codec, Format
from lingbot_cli.sinks.output_paths import check_disk_space

MIN_FREE_BYTES = 100_000
"""Bytes without which not even a second of a film could be written."""


@dataclass(frozen=True)
class Encoding:
    """The program, the container, the codec, and how good it is to be."""

    ffmpeg: str
    container: Format
    codec: Codec
    quality: str = "web"
    crf: int | None = None

    def argv(self, film: VideoInfo, url: str, metadata_fd: int | None = None, *, first: int = 0) -> list[str]:
        """The command that encodes a film, or the pictures of a sequence from number `first` on."""
        return encode_args(
            *(self.ffmpeg, film, self.container, self.codec),
            url=url,
            quality=self.quality,
            crf=self.crf,
            metadata_fd=metadata_fd,
            first=first,
        )

    def check(self, film: VideoInfo, folder: Path | None) -> None:
        """Raise SetupError where the codec does not work, OutputError where the film has no room in `folder`."""
        check_codec(self.ffmpeg, self.codec)
        if folder is not None:
            raw = (
                film.frames * film.height * film.width
                if film.frames and self.codec.encoder == "rawvideo"
                else 0
            )
            check_disk_space(
                folder, MIN_FREE_BYTES + int(raw * (3 if self.codec.lossless else 1.5)), "the film"
            )

    def segment_argv(self, film: VideoInfo) -> list[str]:
        """The command that encodes what another ffmpeg puts behind the beginning of a film."""
        container = replace(self.container, piped=self.container.segment)
        return replace(self, container=container).argv(film, "pipe:1")

    def key(self, film: VideoInfo, name: str) -> str:
        """A short name that two runs share when their frames and packets fit behind each other, as `name`."""
        said = [name, film.variant, version_line(self.ffmpeg), *self.argv(film, "")]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def cut(self, left: Path, film: VideoInfo, limit: int) -> CutPoint | None:
        """Where a file of this encoding can be gone on with, within its first `limit` frames."""
        if self.container.segment is None:
            return None
        return find_cut_point(left, read_packets(self.ffmpeg, left), film.fps, limit)
