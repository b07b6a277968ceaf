"""`lingbot play`: walk through a world, in a browser or in the terminal."""

import shlex
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import typer

from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.model_flags import MODEL_FLAGS, Gpus, shared_by_gpus
from lingbot_cli.cli.options import Size, exit_after_stop, image_file
from lingbot_cli.env import Env
from lingbot_cli.errors import RunInterrupted
from lingbot_cli.runtime.model_options import ModelOptions, flag_words
from lingbot_cli.sample_files import FIRST_IMAGE, FIRST_PROMPT, complete_names

if TYPE_CHECKING:
    from lingbot_cli.server.record import SessionRecorder
    from lingbot_cli.server.service import SessionDefaults
    from lingbot_cli.server.session_pool import SessionPool
    from lingbot_cli.terminal.play import ModelLoader

app = App()


@dataclass(frozen=True)
class StartFlags:
    """First moment of a walk."""

    panel: ClassVar[str] = "Camera and prompt"

    prompt: Annotated[str, option("First prompt.")] = ""
    size: Size = None
    seed: Annotated[int, option("Random seed.", min=0, max=2**63 - 1)] = 42

    def offer(self, image: Path) -> "SessionDefaults":
        """Return the start of every walk. Errors: UsageError for the size or the image."""
        from lingbot_cli.image import read_image
        from lingbot_cli.server.service import SessionDefaults
        from lingbot_cli.timeline.schema import CameraSettings
        from lingbot_cli.video_size import parse_size

        height, width = parse_size(self.size) if self.size else (None, None)
        return SessionDefaults(read_image(image), self.prompt, self.seed, height, width, CameraSettings())


OptionalImage = Annotated[
    Path | None,
    typer.Argument(
        help=f"First frame: a PNG, JPEG or WebP image; {FIRST_IMAGE} without one.",
        parser=Path,
        autocompletion=complete_names,
    ),
]


@app.command()
def play(
    ctx: typer.Context,
    start: StartFlags,
    model: Annotated[ModelOptions, MODEL_FLAGS],
    image: OptionalImage = None,
    where: Annotated[
        Literal["browser", "terminal"],
        option("Show frames and read keys in a browser or in this terminal.", names="--in", panel="Display"),
    ] = "browser",
    port: Annotated[
        int, option("Port of the page; 0 takes any free one.", panel="Display", min=0, max=65535)
    ] = 0,
    graphics: Annotated[
        Literal["auto", "blocks", "kitty", "sixel"], option("Graphics of the terminal.", panel="Display")
    ] = "auto",
    record: Annotated[
        Path | None, option("Write the walk as a timeline, such as walk.jsonl.", panel="Output")
    ] = None,
    gpus: Gpus = 1,
) -> None:
    """Play in a browser on this machine, or in the terminal.

    Without an image it is the courtyard of the built-in model. Over ssh, forward the port that is printed, or use
    the terminal. A restart begins another file: walk-2.jsonl.

    Example: lingbot play samples/courtyard-day.png --prompt "a stone courtyard" --record walk.jsonl
    """
    from lingbot_cli.server.record import SessionRecorder
    from lingbot_cli.server.serve import load_served_model, run_notes
    from lingbot_cli.terminal.play import play_in_terminal

    env: Env = ctx.obj
    if image is None:
        image, start = Path(FIRST_IMAGE), replace(start, prompt=start.prompt or FIRST_PROMPT)
    offer = start.offer(image_file(str(image)))
    with shared_by_gpus(env, model, gpus) as (options, group):
        recorder = SessionRecorder(record) if record is not None else None
        load = partial(load_served_model, options, note=env.note, group=group)
        env.print(*run_notes(options))
        stop = None
        try:
            if where == "terminal":
                play_in_terminal(env, load, offer, recorder, graphics)
            else:
                _play_in_browser(env, load, offer, recorder, port)
        except RunInterrupted as interrupted:
            stop = interrupted
        finally:
            if recorder is not None:
                recorder.write()
        lines = _recording_lines(recorder, image, model)
        if stop is not None:
            exit_after_stop(env, stop, *lines)
        env.note(*lines)


def _recording_lines(recorder: "SessionRecorder | None", image: Path, model: ModelOptions) -> list[str]:
    """Describe where the recording is, and how to render it."""
    if recorder is None:
        return []
    if not recorder.paths:
        return ["nothing was recorded"]
    chosen = {name: getattr(model, name) for name in ("model", "assets", "device", "precision")}
    given = {name: value for name, value in chosen.items() if value is not None}
    flags = flag_words({**given, **model.flags()})
    lines = []
    for path in recorder.paths:
        command = ["lingbot", "render", str(image), "-t", str(path), *flags]
        command += ["-o", str(path.with_suffix(".mp4"))]
        lines += [f"recorded {path}; render it with:", f"  {shlex.join(command)}"]
    return lines


def _play_in_browser(
    env: Env, load: "ModelLoader", offer: "SessionDefaults", recorder: "SessionRecorder | None", port: int
) -> None:
    from lingbot_cli.server.auth import AccessRules, new_token
    from lingbot_cli.server.http_server import ListenAddress
    from lingbot_cli.server.protocol import ClientLimits
    from lingbot_cli.server.serve import run_server
    from lingbot_cli.server.service import ModelService
    from lingbot_cli.server.session_pool import PoolLimits

    limits = ClientLimits()
    if offer.height and offer.width:
        limits = ClientLimits(max_pixels=max(limits.max_pixels, offer.height * offer.width))

    def print_address(address: str, _pool: "SessionPool") -> None:
        number = address.split("/?")[0].rsplit(":", 1)[1]
        ssh = f"from another machine, first: ssh -L {number}:127.0.0.1:{number} THIS-MACHINE"
        env.print(f"open {address}", ssh)

    def load_service() -> ModelService:
        world, memory = load(offer)
        if recorder is None:
            return ModelService(world, limits, offer, memory=memory)
        return ModelService(world, limits, offer, recorder.chunk_sent, memory=memory)

    rules = AccessRules(new_token())
    run_server(
        load_service,
        ListenAddress(port=port),
        rules,
        PoolLimits(),
        announce=print_address,
        max_message_bytes=limits.max_message_bytes,
    )
