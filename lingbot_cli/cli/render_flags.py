"""Groups of options of `lingbot render`: frames, outputs and resume; and the encoding, shared with `stream`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from lingbot_cli.camera.convention import ExportFormat
from lingbot_cli.cli.app import option
from lingbot_cli.cli.options import Overwrite, Quality, TimelineFlags, parser
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.files import check_new, find_stream, write_file
from lingbot_cli.sinks.rescale import Rescale, Scaler
from lingbot_cli.sinks.soundtrack import Soundtrack
from lingbot_cli.timeline.times import Time, exact_fps, parse_fps, parse_time
from lingbot_cli.video_size import check_image_size, parse_image_size

if TYPE_CHECKING:
    from lingbot_cli.render.request import PreparedVideo
    from lingbot_cli.render.resume import ResumeOptions
    from lingbot_cli.sinks.base import Sink

_MAX_OUTPUT_SIDE_PX = 8192


@dataclass(frozen=True)
class RenderTimelineFlags(TimelineFlags):
    """Camera and prompt of a rendered video, and the frames of it to render."""

    frames: Annotated[
        str | None, option("Render only frames A to before B; either may be left out.", metavar="A:B")
    ] = None


@dataclass(frozen=True)
class EncodedFlags:
    """Size, rate and sound of the encoded video; the model renders as without them."""

    panel: ClassVar[str] = "Output"

    upscale: Annotated[int | None, option("Enlarge the frames 2, 3 or 4 times.", min=2, max=4)] = None
    output_size: Annotated[
        str | None,
        option(
            "Size of the encoded frames.",
            parser=parser(check_image_size),
            metavar="WIDTHxHEIGHT",
            default="the rendered size",
        ),
    ] = None
    scaler: Annotated[
        Scaler | None, option("Filter of --upscale and --output-size.", rare=True, default="lanczos")
    ] = None
    interpolate: Annotated[
        float | None,
        option(
            "Frames per second of the encoded video, filled in by motion.",
            parser=parser(parse_fps),
            metavar="FPS",
            default="the rendered rate",
        ),
    ] = None

    audio: Annotated[
        Path | None, option("Sound of the video: MP3, M4A, WAV or Ogg; it fades at the end.", metavar="FILE")
    ] = None
    audio_loop: Annotated[bool, option("Repeat --audio until the video ends.", rare=True)] = False

    def soundtrack(self, env: Env) -> Soundtrack | None:
        """Return the sound of the video, which ffmpeg can read. Errors: UsageError, SetupError."""
        from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg

        if self.audio_loop and self.audio is None:
            raise UsageError("--audio-loop needs --audio", hint="add --audio FILE")
        if self.audio is None:
            return None
        soundtrack = Soundtrack(self.audio, self.audio_loop)
        soundtrack.check(find_ffmpeg(env.environ))
        return soundtrack

    def rescale(self) -> Rescale:
        """Return the size and rate that is encoded. Errors: UsageError."""
        if self.upscale is not None and self.output_size is not None:
            raise UsageError("--upscale and --output-size exclude each other", hint="give one of them")
        if self.scaler is not None and self.upscale is None and self.output_size is None:
            raise UsageError("--scaler needs --upscale or --output-size", hint="add one of them")
        size = parse_image_size(self.output_size) if self.output_size is not None else None
        if size is not None and max(size) > _MAX_OUTPUT_SIDE_PX:
            raise UsageError(f"--output-size {self.output_size}: a side is longer than {_MAX_OUTPUT_SIDE_PX}")
        fps = exact_fps(self.interpolate) if self.interpolate is not None else None
        return Rescale(self.upscale or 1, size, self.scaler or "lanczos", fps)


@dataclass(frozen=True)
class OutputFlags(EncodedFlags):
    """Files of a video and their encoding."""

    output: Annotated[
        list[str] | None,
        option(
            "Video (.mp4 .mov .mkv .webm .ts .gif .webp .y4m .m3u8), images (frames/%05d.png), - for standard "
            "output, or null:. Repeatable.",
            names="-o --output",
            metavar="FILE",
            default="IMAGE.mp4",
        ),
    ] = None
    quality: Quality = "web"
    codec: Annotated[
        str | None,
        option(
            "Video codec: h264, hevc, x264, x265, av1, vp9, ffv1, ….", metavar="NAME", default="the format's"
        ),
    ] = None
    crf: Annotated[
        int | None,
        option("Quality number of the codec; lower is better.", min=0, max=100, default="the codec's"),
    ] = None
    format: Annotated[
        str | None, option("Format of outputs whose name has none.", rare=True, metavar="NAME")
    ] = None
    overlay: Annotated[
        Literal["none", "keys", "burn"],
        option("keys: also write a copy with keys and prompt on it; burn: draw them on the video."),
    ] = "none"
    subtitles: Annotated[
        Literal["none", "srt", "track"],
        option("The prompts as subtitles: a .srt file beside each video, or a track in MP4, MOV and MKV."),
    ] = "none"
    overwrite: Overwrite = False
    no_metadata: Annotated[bool, option("Leave out the metadata that `lingbot show` reads.", rare=True)] = (
        False
    )
    save_poses: Annotated[
        Path | None,
        option("Also write the camera of every frame, as --poses reads it.", rare=True, metavar="FOLDER"),
    ] = None
    poses_format: Annotated[
        ExportFormat | None,
        option("Format of --save-poses.", rare=True, default="npy"),
    ] = None

    open: Annotated[bool, option("Open the finished video with this system's player.")] = False

    def camera_format(self) -> ExportFormat:
        """Return the format of --save-poses. Errors: UsageError for a format without a folder."""
        if self.poses_format is not None and self.save_poses is None:
            raise UsageError("--poses-format needs --save-poses", hint="add --save-poses FOLDER")
        return self.poses_format or "npy"

    def save_camera(self, prepared: "PreparedVideo", targets: list[str], *, overwrite: bool) -> None:
        """Write the camera of every frame, with the names that an image sequence gives them."""
        from lingbot_cli.sinks.output_paths import sequence_names
        from lingbot_cli.timeline.poses_dir import write_poses_dir

        if self.save_poses is None:
            return
        plan = prepared.plan
        write_poses_dir(
            prepared.resolved.compiled,
            self.save_poses,
            self.camera_format(),
            size=(plan.height, plan.width),
            frames=range(prepared.first_frame, plan.frames),
            names=sequence_names(targets, self.save_poses, prepared.frames),
            overwrite=overwrite,
        )

    def _subtitle_files(self, targets: list[str]) -> list[Path]:
        """Return the .srt files beside the videos, each once. Errors: UsageError for one that exists."""
        from lingbot_cli.sinks.output_paths import subtitle_name

        if self.subtitles != "srt":
            return []
        paths = {path.resolve(): path for path in map(subtitle_name, files_of(targets))}
        for path in paths.values():
            check_new(path, overwrite=self.overwrite)
        return list(paths.values())

    def finish(self, prepared: "PreparedVideo", targets: list[str], warn: Callable[[str], None]) -> None:
        """Write the subtitles of the complete videos, and open the first of them, as the options ask."""
        for path in self._subtitle_files(targets):
            write_file(path, prepared.subtitles(), overwrite=self.overwrite)
        if self.open:
            self._open_video(targets, warn)

    def targets(self, image: Path) -> list[str]:
        """Return the names of all outputs. Errors: UsageError for options that need a file, and have none."""
        self.camera_format()
        targets = self.output or [f"{image.stem}.mp4"]
        subtitles = f"--subtitles {self.subtitles}"
        for flag, asked in {"--open": self.open, subtitles: self.subtitles != "none"}.items():
            if asked and not files_of(targets):
                raise UsageError(f"{flag}: no output is a file", hint="name one with -o")
        return targets

    def _open_video(self, targets: list[str], warn: Callable[[str], None]) -> None:
        """Open the first file, or the folder of its images."""
        from lingbot_cli.sinks.formats import is_sequence

        path = Path(files_of(targets)[0])
        path = path.parent if is_sequence(str(path)) else path
        if typer.launch(str(path.absolute())):
            warn(f"no program was found to open {path}")

    def sink(self, targets: list[str], prepared: "PreparedVideo", env: Env, keep: Path | None) -> "Sink":
        """Return the sink of all outputs, the overlay's among them; `keep`: folder of what a resume needs."""
        from lingbot_cli.sinks.base import TeeSink
        from lingbot_cli.sinks.factory import OutputOptions, choose_sinks
        from lingbot_cli.sinks.output_paths import check_distinct, copy_name
        from lingbot_cli.sinks.overlay import OverlaySink

        options = OutputOptions(
            self.quality,
            self.codec,
            self.crf,
            self.format,
            self.overwrite,
            keep,
            self.rescale(),
            self.soundtrack(env),
            self.subtitles == "track",
        )
        sink = choose_sinks(targets, options, env.environ, env.stdout_bytes if "-" in targets else None)
        subtitles = [str(path) for path in self._subtitle_files(targets)]
        check_distinct([*targets, *subtitles])
        if self.overlay == "burn":
            return OverlaySink(sink, prepared.captions(), enlarge=False)
        if self.overlay == "none":
            return sink
        copies = [copy_name(target, "keys") for target in files_of(targets)]
        check_distinct([*targets, *copies])
        if not copies:
            raise UsageError(
                "--overlay keys: no output is a file to make a copy of", hint="use --overlay burn"
            )
        copy = choose_sinks(copies, options, env.environ)
        return TeeSink([sink, OverlaySink(copy, prepared.captions(), enlarge=True)])

    def encoding(self, frames: str | None) -> dict[str, Any] | None:
        """Return what the metadata says of the encoding, None to leave the metadata out."""
        if self.no_metadata:
            return None
        overlay = self.overlay if self.overlay == "burn" else None
        return {
            "quality": self.quality,
            "codec": self.codec,
            "crf": self.crf,
            "overlay": overlay,
            "frames": frames,
            "upscale": self.upscale,
            "output-size": self.output_size,
            "scaler": self.scaler,
            "interpolate": self.interpolate,
            "audio": None if self.audio is None else str(self.audio),
            "audio-loop": self.audio_loop,
            "subtitles": None if self.subtitles == "none" else self.subtitles,
        }


@dataclass(frozen=True)
class ResumeFlags:
    """Continuation of earlier runs."""

    panel: ClassVar[str] = "Resume"

    resume: Annotated[
        Literal["exact", "fast"] | None,
        option(
            "Continue an interrupted run of this video; fast rebuilds the KV cache approximately.",
            metavar="[=exact|fast]",
        ),
    ] = None
    fork_at: Annotated[
        Time | None,
        option(
            "Continue an earlier run from this time on, with a changed timeline.",
            parser=parser(parse_time),
            metavar="TIME",
        ),
    ] = None
    keep_latents: Annotated[bool, option("Keep the latents of the finished video, for --fork-at.")] = False

    @property
    def continues(self) -> bool:
        """True to continue an earlier run."""
        return self.resume is not None or self.fork_at is not None

    def options(self, targets: list[str], *, overwrite: bool) -> "ResumeOptions | None":
        """Return the resume options, None without a file. Errors: UsageError."""
        from lingbot_cli.render.resume import ResumeOptions
        from lingbot_cli.render.resume_store import ResumeStore

        files = files_of(targets)
        if files:
            return ResumeOptions(
                ResumeStore.for_output(files[0]), self.resume, self.fork_at, self.keep_latents, overwrite
            )
        if self.continues or self.keep_latents:
            raise UsageError("nothing can be resumed without a file", hint="name one with -o")
        return None


def uses_stdout(targets: list[str]) -> bool:
    """Return whether a target is standard output, by any name."""
    streams = [find_stream(Path(target)) for target in targets if target not in ("-", "null:")]
    return "-" in targets or any(stream is not None and stream.descriptor == 1 for stream in streams)


def files_of(targets: list[str]) -> list[str]:
    """Return the targets that are files, not streams."""

    return [
        target for target in targets if target not in ("-", "null:") and find_stream(Path(target)) is None
    ]
