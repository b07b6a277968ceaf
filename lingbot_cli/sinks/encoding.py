"""Encoding of an output: ffmpeg, container, codec and quality, and the commands that follow from them."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from lingbot_cli.files import check_disk_space
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.codecs import Codec
from lingbot_cli.sinks.concat import CutPoint, find_cut_point, read_packets
from lingbot_cli.sinks.ffmpeg_args import (
    codec_filters,
    keyframe_interval,
    metadata_input,
    quality_args,
    raw_frames_input,
)
from lingbot_cli.sinks.ffmpeg_binary import check_codec, version_line
from lingbot_cli.sinks.formats import Format
from lingbot_cli.sinks.rescale import UNSCALED, Rescale
from lingbot_cli.sinks.soundtrack import Soundtrack

MIN_FREE_BYTES = 100_000
"""Disk space for about one second of video."""


@dataclass(frozen=True)
class Encoding:
    """The ffmpeg executable, the container, the codec and its quality, the size and rate, and other tracks."""

    ffmpeg: str
    container: Format
    codec: Codec
    quality: str = "web"
    crf: int | None = None
    rescale: Rescale = UNSCALED
    audio: Soundtrack | None = None
    subtitle_track: bool = False

    def track_args(self, video: VideoInfo, source: Path, subtitles: Path | None) -> list[str]:
        """Return the arguments that copy a complete video and add its sound and its subtitles, a file of SRT text."""
        args = ["-i", f"file:{source.absolute()}", *(self.audio.input_args() if self.audio else ())]
        args += ["-i", f"file:{subtitles.absolute()}"] if subtitles else []
        args += ["-map", "0:v", "-map_metadata", "0", "-map_chapters", "0", "-c:v", "copy"]
        if self.audio:
            seconds = None if video.frames is None else float(video.frames / video.fps)
            args += ["-map", "1:a:0", "-af", self.audio.filters(seconds), "-shortest"]
            args += ["-c:a", str(self.container.audio_codec), "-b:a", "192k", "-ar", "48000"]
        if subtitles:
            args += ["-map", f"{2 if self.audio else 1}:s", "-c:s", str(self.container.subtitle_codec)]
        return args

    def args(
        self, video: VideoInfo, url: str, metadata_url: str | None = None, *, first: int = 0
    ) -> list[str]:
        """Return the command that reads raw RGB frames on standard input and writes the video to `url`.

        `metadata_url`: URL of ffmetadata text. `first`: number of the first image of a sequence.
        """
        container, codec, shown = self.container, self.codec, self.rescale.applied(video)
        metadata, frames_input, metadata_map = metadata_input(metadata_url)
        piped = url.startswith("pipe:")
        args = [self.ffmpeg, "-hide_banner", "-nostats", "-loglevel", "warning", "-y"]
        args += ["-progress", "pipe:2", "-stats_period", "0.05"]
        args += metadata
        args += raw_frames_input(video)
        args += ["-map", f"{frames_input}:v", *metadata_map]
        args += ["-vf", ",".join([*self.rescale.filters(video), codec_filters(shown, codec)])]
        args += ["-c:v", codec.encoder, "-pix_fmt", codec.pixels]
        args += ["-g", str(keyframe_interval(shown.fps)), "-fps_mode", "passthrough"]
        if self.rescale.fps is not None and shown.frames is not None:
            args += ["-frames:v", str(shown.frames)]
        args += codec.args
        args += quality_args(codec, self.quality, self.crf)
        args += container.piped_args if piped and container.piped_args is not None else container.args
        if container.sequence:
            args += ["-start_number", str(first)]
        return [*args, "-f", container.muxer, url]

    def segment_args(self, video: VideoInfo) -> list[str]:
        """Return the command that encodes new frames to a pipe, to be appended to a video."""
        container = replace(self.container, piped_args=self.container.segment_args)
        return replace(self, container=container).args(video, "pipe:1")

    def check(self, video: VideoInfo, folder: Path | None) -> None:
        """Raise SetupError if the codec fails, OutputError if the disk of `folder` has too little space."""
        check_codec(self.ffmpeg, self.codec)
        if folder is None:
            return
        raw_bytes = 0.0
        if video.frames and self.codec.encoder == "rawvideo":
            shown = self.rescale.applied(video)
            raw_bytes = (shown.frames or 0) * shown.height * shown.width * (3 if self.codec.lossless else 1.5)
        check_disk_space(folder, MIN_FREE_BYTES + int(raw_bytes), "the video")

    def fingerprint(self, video: VideoInfo, name: str) -> str:
        """Return a short hash shared by runs whose packets can be concatenated in the output `name`."""
        parts = [name, video.variant, version_line(self.ffmpeg), *self.args(video, "")]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def find_cut_point(self, file: Path, video: VideoInfo, limit: int) -> CutPoint | None:
        """Return the last cut point within the first `limit` frames of a file of this encoding, if any."""
        if self.container.segment_args is None or self.rescale.fps is not None:
            return None
        return find_cut_point(file, read_packets(self.ffmpeg, file), video.fps, limit)
