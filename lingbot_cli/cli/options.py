"""Options that several commands share: arguments, single flags, and the groups of timeline and display."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NoReturn, TypeVar

import typer
from rich.console import Console

from lingbot_cli.camera.convention import Convention, Matrix
from lingbot_cli.camera.scale import ScaleRule, parse_scale
from lingbot_cli.checkpoints.cache_dir import cache_folder
from lingbot_cli.cli.app import option
from lingbot_cli.env import Env
from lingbot_cli.errors import RunInterrupted, UsageError
from lingbot_cli.operating_system import open_terminal
from lingbot_cli.presets import PRESETS, Preset
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.sample_files import complete_names, find_input
from lingbot_cli.timeline.times import Time, parse_fps, parse_time
from lingbot_cli.ui.display import Display, JsonDisplay, choose_display
from lingbot_cli.video_size import check_image_size

if TYPE_CHECKING:
    from lingbot_cli.render.request import Request
    from lingbot_cli.sinks.base import Sink

Value = TypeVar("Value")

TIMELINE_SUFFIXES = (".yaml", ".yml", ".jsonl")


def find_preset(name: str) -> Preset:
    """Return the preset of a name. Errors: UsageError."""
    if name not in PRESETS:
        raise UsageError(f"there is no preset '{name}'", hint=f"use one of {', '.join(PRESETS)}")
    return PRESETS[name]


def is_timeline_file(text: str) -> bool:
    """Return whether an argument is a timeline file or standard input rather than moves such as w-10,iw-15."""
    return text == "-" or Path(text).suffix in TIMELINE_SUFFIXES or os.path.exists(text)


def camera_source(text: str) -> dict[str, str]:
    """Return an argument as a timeline, as camera files or as moves, under the name of its option."""
    if text == "-" or Path(text).suffix in TIMELINE_SUFFIXES:
        return {"timeline": text}
    return {"poses": text} if os.path.exists(text) else {"moves": text}  # false for any long text


def model_names() -> list[str]:
    """Return the names of known models and of fetched ones."""
    models = cache_folder() / "models"
    fetched = [path.name for path in models.iterdir()] if models.is_dir() else []
    return sorted({*PRESETS, *(name for name in fetched if not name.startswith("."))})


def parse_duration(option_name: str, text: str | None) -> float | None:
    """Return the seconds of an option's value. Errors: UsageError for frames and chunks."""
    if text is None:
        return None
    try:
        time = parse_time(text)
    except ValueError as wrong:
        raise UsageError(f"{option_name} {text}: {wrong}") from wrong
    if time.unit != "s" or not time.amount:
        raise UsageError(f"{option_name} {text}: not a length of time", hint="write 90s, 30:00 or 1:30:00")
    return float(time.amount)


def parser(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """Return the parser of an option; a ValueError becomes a BadParameter with its message."""

    def value(text: str) -> Value:
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return value


def image_file(text: str) -> Path:
    """Return an image's path; a sample's name is found in every folder."""
    return Path(find_input(text))


def exit_after_stop(env: Env, stop: RunInterrupted, *lines: str) -> NoReturn:
    """End a command that a signal ends in its usual way: plain lines and the signal's exit code."""
    name = signal.Signals(stop.exit_code - 128).name
    env.note(f"stopped by {name}", *lines)
    raise typer.Exit(stop.exit_code)


FirstImage = Annotated[
    Path,
    typer.Argument(
        help="First frame of the video: a PNG, JPEG or WebP image.",
        parser=image_file,
        autocompletion=complete_names,
    ),
]


def _camera_argument(help: str) -> Any:
    return typer.Argument(metavar="FILE", parser=find_input, autocompletion=complete_names, help=help)


TimelineArgument = Annotated[str, _camera_argument("A timeline; - reads JSONL from standard input.")]
TimelineOrMoves = Annotated[
    str, _camera_argument("A timeline, - for JSONL from standard input, or moves such as w-10,iw-15.")
]
CameraArgument = Annotated[
    str,
    _camera_argument(
        "A timeline, - for JSONL from standard input, camera files, or moves such as w-10,iw-15."
    ),
]
PresetName = Annotated[
    str, option("Preset of the model to plan for.", metavar="NAME", autocompletion=lambda: [*PRESETS])
]
AllowOutside = Annotated[bool, option("Let the timeline name files outside its folder.")]
Duration = Annotated[
    Time | None,
    option(
        "Length of the video, such as 10s or 160f (frames).",
        parser=parser(parse_time),
        default="the timeline's",
    ),
]
Fps = Annotated[
    float | None,
    option(
        "Frames per second, 1 to 120, such as 16, 29.97 or 30000/1001.",
        parser=parser(parse_fps),
        metavar="NUMBER",
        default="the timeline's, else 16",
    ),
]
Size = Annotated[
    str | None,
    option("Frame size in pixels, multiples of 16.", metavar="WIDTHxHEIGHT", default="the image's shape"),
]
Overwrite = Annotated[bool, option("Replace existing files.")]
PrintJson = Annotated[bool, option("Print JSON.", names="--json")]
Fast = Annotated[
    bool,
    option(
        "Trade exactness for speed: fp8 linears, int8 attention and a smaller window, where they help.",
        panel="Speed",
    ),
]
Quality = Annotated[
    Literal["web", "master", "draft"],
    option("Trade file size for fidelity; master is lossless.", panel="Output"),
]
Engine = Annotated[
    str | None,
    option(
        "Render on a server, such as ws://HOST:PORT; LINGBOT_TOKEN holds its token.",
        panel="Model",
        metavar="URL",
    ),
]


@dataclass(frozen=True)
class TimelineFlags:
    """Camera and prompt of a video."""

    panel: ClassVar[str] = "Camera and prompt"

    timeline: Annotated[
        str | None,
        option(
            "Events of camera and prompt: .yaml, .jsonl, or - for JSONL on standard input.",
            names="-t --timeline",
            metavar="FILE",
            parser=find_input,
            autocompletion=complete_names,
        ),
    ] = None
    moves: Annotated[str | None, option("Keys and frames, such as w-10,iw-15,none-10.", metavar="MOVES")] = (
        None
    )
    poses: Annotated[
        str | None,
        option(
            "Camera poses: a folder with poses.npy, .npy, .npz, ViPE, nerfstudio, COLMAP, RE10K, CameraCtrl, TUM.",
            metavar="PATH",
        ),
    ] = None
    scale: Annotated[
        ScaleRule | None,
        option(
            "Length of a walking step: fixed, clip (the largest step), a number, or fit:1.0 (the median step).",
            rare=True,
            parser=parser(parse_scale),
            metavar="SCALE",
            default="clip for --poses, else fixed",
        ),
    ] = None
    convention: Annotated[
        Convention | None, option("Axes of --poses.", rare=True, default="the format's, else opencv")
    ] = None
    matrix: Annotated[
        Matrix | None,
        option("Direction of the matrices of --poses.", rare=True, default="the format's, else c2w"),
    ] = None
    intrinsics: Annotated[
        str | None, option("Lenses for --poses: a .npy of fx, fy, cx, cy.", rare=True, metavar="FILE")
    ] = None
    intrinsics_size: Annotated[
        str | None,
        option(
            "Size of the images that the lenses of --poses belong to.",
            rare=True,
            parser=parser(check_image_size),
            metavar="WIDTHxHEIGHT",
            default="the format's",
        ),
    ] = None
    poses_fps: Annotated[
        float | None,
        option(
            "Rows of --poses a second.",
            rare=True,
            min=0.01,
            max=1000,
            default="the format's, else a row a frame",
        ),
    ] = None
    prompt: Annotated[str | None, option("First prompt.", default="the timeline's")] = None
    duration: Duration = None
    fps: Fps = None
    size: Size = None
    seed: Annotated[
        int | None, option("Random seed.", min=0, max=2**63 - 1, default="the timeline's, else 42")
    ] = None
    allow_outside: Annotated[bool, option("Let a timeline name files outside its folder.", rare=True)] = False

    def request(self, image: Path, model: ModelOptions, engine: str | None, env: Env) -> "Request":
        """Return the request for a video; `engine`: the server that renders it. Errors: those of the server."""
        from lingbot_cli.remote.client import RemoteTarget
        from lingbot_cli.render.request import Request
        from lingbot_cli.timeline.input_files import PathOptions
        from lingbot_cli.timeline.resolve import TimelineOverrides

        path = PathOptions(
            self.intrinsics, self.intrinsics_size, self.convention, self.matrix, self.poses_fps
        )
        overrides = TimelineOverrides(
            self.prompt, self.fps, self.duration, self.scale, self.allow_outside, path
        )
        remote = RemoteTarget.connect(engine, model.preset or model.model, env.environ)
        return Request(
            image, self.timeline, self.moves, self.poses, overrides, self.size, self.seed, model, remote
        )


@dataclass(frozen=True)
class DisplayFlags:
    """Progress of a run."""

    panel: ClassVar[str] = "Display"

    preview: Annotated[
        Literal["browser", "terminal"] | None,
        option(
            "Show the frames while they are made, in a browser or in this terminal.",
            metavar="[=browser|terminal]",
        ),
    ] = None
    quiet: Annotated[bool, option("Print only warnings and errors.", names="-q --quiet")] = False
    as_json: Annotated[bool, option("Print JSON lines.", names="--json")] = False

    def open(self, env: Env, json_to: Console, *, typed: bool = False) -> "tuple[Display, Sink | None]":
        """Return the display, and the sink of the preview; `typed`: events come from the keyboard.

        Errors: UsageError for a preview in a terminal that is in use or missing.
        """
        if self.preview == "terminal":
            return self._in_terminal(env, json_to, typed=typed)
        display = choose_display(quiet=self.quiet, as_json=self.as_json, err=env.err, json_to=json_to)
        if self.preview is None:
            return display, None
        from lingbot_cli.server.browser_preview import BrowserPreview

        return display, BrowserPreview(display.warning)

    def _in_terminal(self, env: Env, json_to: Console, *, typed: bool) -> "tuple[Display, Sink]":
        from lingbot_cli.terminal.preview import StatusLineDisplay, TerminalPreview
        from lingbot_cli.terminal.screen import Screen

        hint = "use --preview browser"
        if not env.stderr.isatty():
            raise UsageError("--preview terminal needs a terminal", hint=hint)
        if self.as_json and json_to.file.isatty():
            raise UsageError("--preview terminal: --json prints to the same terminal", hint=hint)
        if typed and env.stdin.isatty():
            raise UsageError("--preview terminal: events are typed in the same terminal", hint=hint)
        try:
            terminal = open_terminal()
        except OSError as failure:
            raise UsageError(
                f"--preview terminal: the terminal cannot be opened: {failure}", hint=hint
            ) from failure
        preview = TerminalPreview(Screen(terminal, terminal))
        below = (
            JsonDisplay(json_to) if self.as_json else StatusLineDisplay(env.err, preview, quiet=self.quiet)
        )
        return below, preview
