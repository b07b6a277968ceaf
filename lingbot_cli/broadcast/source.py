"""What is to be streamed: a film, a film again and again, or a world that listens."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lingbot_cli.camera.relative_pose import FIXED_SCALE
from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.control import Control
from lingbot_cli.errors import UsageError
from lingbot_cli.image import crop_to_aspect, read_image
from lingbot_cli.remote.client import RemoteModel
from lingbot_cli.render.request import (
    DEFAULT_SEED,
    UNTRAINED_NOTE,
    Request,
    prepare,
    require_local,
    resolve_request,
)
from lingbot_cli.runtime.model_options import describe_run
from lingbot_cli.timeline.chunks import nearest_frame
from lingbot_cli.timeline.live import LiveTimeline, loop_timeline
from lingbot_cli.timeline.load import load_timeline
from lingbot_cli.timeline.moves import parse_moves
from lingbot_cli.timeline.schedule import schedule_timeline
from lingbot_cli.timeline.schema import TimelineHeader
from lingbot_cli.video_size import fit_size, parse_size


@dataclass(frozen=True)
class PreparedStream:
    """A stream ready to be made; `frames` and `chunks` are None when nobody knows how many there will be."""

    request: Request
    model: Checkpoint | RemoteModel
    image: np.ndarray
    height: int
    width: int
    fps: int
    seed: int
    scale: float
    controls: Iterable[Control]
    prompts: tuple[str, ...] = ()
    frames: int | None = None
    chunks: int | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint on this machine; TypeError for a model that runs elsewhere."""
        return require_local(self.model)

    def picture(self, cut: Path | None) -> np.ndarray:
        """The first image of a scene, [H, W, 3] uint8."""
        return self.image if cut is None else crop_to_aspect(read_image(cut), self.height, self.width)

    def facts(self) -> dict[str, object]:
        """The plan as `--json` prints it."""
        return {
            "width": self.width,
            "height": self.height,
            "frames": self.frames,
            "fps": self.fps,
            "chunks": self.chunks,
            "seed": self.seed,
            "model": self.model.preset.name,
            "licence": self.model.preset.licence,
            "speed_options": self.request.options.speed_options(),
        }

    def summary(self) -> str:
        """The stream in one line, how its world is run where that is not as usual, and what its world is not."""
        length = "until it is stopped" if self.frames is None else f"{self.frames / self.fps:.1f} s"
        preset = self.model.preset
        line = (
            f"{self.width}x{self.height} · {length} at {self.fps} fps · seed {self.seed} · "
            f"{preset.name} ({preset.licence})"
        )
        options, differences = self.request.options, self.model.differences
        unusual = differences or options.speed_options() or options.notes
        run = describe_run(preset, differences, options) if unusual else []
        return "\n".join([line, *run, *([] if self.model.trained else [UNTRAINED_NOTE])])


def prepare_video_stream(request: Request) -> PreparedStream:
    """A film, once; UsageError with all that is wrong in its timeline."""
    film = prepare(request)
    return PreparedStream(
        film.request,
        film.model,
        film.images[None],
        film.plan.height,
        film.plan.width,
        film.plan.fps,
        film.plan.seed,
        film.plan.scale,
        film.controls,
        film.prompts,
        film.plan.frames,
        len(film.controls),
    )


def prepare_loop(request: Request) -> PreparedStream:
    """A film that begins again when it is over, until the request's duration if it has one."""
    if request.poses is not None or request.overrides.scale == "clip":
        raise UsageError(
            "--loop goes with --timeline or --moves, in the fixed scale", hint="leave the other out"
        )
    duration = request.overrides.duration
    once = prepare_video_stream(replace(request, overrides=replace(request.overrides, duration=None)))
    flags = request.overrides
    said = parse_moves(request.moves) if request.moves is not None else load_timeline(request.timeline or "-")
    timed = schedule_timeline(said, once.model.preset.chunk, fps=flags.fps, allow_outside=flags.allow_outside)
    frames = None if duration is None else nearest_frame(timed.grid.to_frames(duration))
    return replace(
        once,
        controls=loop_timeline(timed, prompt=flags.prompt, duration=duration),
        frames=frames,
        chunks=None,
    )


def prepare_live(
    request: Request, header: Mapping[str, Any], *, remember: bool
) -> tuple[PreparedStream, LiveTimeline]:
    """A world that goes where it is told while it runs; `header` as plain values."""
    request, checkpoint = resolve_request(request)
    flags = request.overrides
    live = LiveTimeline(
        checkpoint.preset.chunk,
        header,
        prompt=flags.prompt,
        fps=flags.fps,
        duration=flags.duration,
        folder=Path.cwd(),
        allow_outside=flags.allow_outside,
        keep_history=remember,
    )
    image = read_image(request.image)
    height, width = _size(request, live.header, image, checkpoint.preset.area)
    seed = next(seed for seed in (request.seed, live.header.seed, DEFAULT_SEED) if seed is not None)
    prompts = (flags.prompt or live.header.prompt or "",)
    show = PreparedStream(
        request,
        checkpoint,
        crop_to_aspect(image, height, width),
        height,
        width,
        live.grid.fps,
        seed,
        FIXED_SCALE,
        live,
        prompts,
    )
    return show, live


def _size(request: Request, header: TimelineHeader, image: np.ndarray, area: int) -> tuple[int, int]:
    asked = request.size or header.size
    return parse_size(asked) if asked is not None else fit_size(image.shape[0], image.shape[1], area)
