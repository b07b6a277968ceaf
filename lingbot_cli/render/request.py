"""What a film is asked to be, and everything that can be known of it before torch is imported."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.control import Control
from lingbot_cli.errors import UsageError
from lingbot_cli.image import crop_to_aspect, read_image
from lingbot_cli.plan import Plan, make_plan
from lingbot_cli.remote.client import RemoteModel, RemoteTarget
from lingbot_cli.runtime.fast_mode import resolve_model
from lingbot_cli.runtime.model_options import ModelOptions, describe_run
from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.overlay import Caption
from lingbot_cli.timeline.compile import iter_controls
from lingbot_cli.timeline.load import MAX_BYTES
from lingbot_cli.timeline.resolve import ResolvedTimeline, TimelineOverrides, resolve_timeline
from lingbot_cli.video_size import fit_size, parse_size

DEFAULT_SEED = 42
UNTRAINED_NOTE = "this world is untrained: its weights are random, so the film moves but shows no place"


@dataclass(frozen=True)
class Request:
    """One film as the command line asks for it; None leaves a choice to the timeline's header or the model."""

    image: Path
    timeline: str | None = None
    moves: str | None = None
    poses: str | None = None
    flags: TimelineOverrides = field(default_factory=TimelineOverrides)
    size: str | None = None
    seed: int | None = None
    options: ModelOptions = field(default_factory=ModelOptions)
    remote: RemoteTarget | None = None


@dataclass(frozen=True)
class PreparedVideo:
    """A film ready to be made.

    `images` [H, W, 3] uint8 of each scene, the first under None; `timeline` is its file's text; `first` is
    the first frame that is shown.
    """

    request: Request
    checkpoint: Checkpoint | RemoteModel
    film: ResolvedTimeline
    plan: Plan
    controls: tuple[Control, ...]
    images: dict[Path | None, np.ndarray]
    timeline: str | None
    first: int = 0

    @property
    def here(self) -> Checkpoint:
        """The checkpoint on this machine; TypeError for a model that runs elsewhere."""
        return require_local(self.checkpoint)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every text the world will hear, once each."""
        return tuple(dict.fromkeys(control.prompt for control in self.controls))

    def captions(self) -> list[Caption]:
        """What an overlay says on each frame."""
        keys = self.film.compiled.keys
        return [
            Caption(keys[frame], chunk.prompt)
            for chunk in self.plan.chunks
            for frame in range(chunk.start, chunk.start + chunk.frames)
        ][self.first :]

    def info(self) -> VideoInfo:
        """What sinks are told, without metadata."""
        markers = tuple(
            Chapter(marker.start - self.first, marker.text)
            for marker in self.film.compiled.markers
            if self.first <= marker.start < self.plan.frames
        )
        fps, frames = Fraction(self.plan.fps), self.plan.frames - self.first
        options = self.request.options
        variant = f"from frame {self.first}, decoded in {options.decode} by {options.tiny_decoder}"
        return VideoInfo(self.plan.height, self.plan.width, fps, frames, markers, variant=variant)

    def summary(self) -> str:
        """The film and its settings, a line for each that is not the preset's, and what the world is not."""
        chunks, frames = len(self.plan.chunks), self.plan.frames - self.first
        film = (
            f"{self.plan.width}x{self.plan.height} · {frames} frames, {frames / self.plan.fps:.1f} s at "
            f"{self.plan.fps} fps · {chunks} chunk{'s' if chunks > 1 else ''} · seed {self.plan.seed} · "
            f"{self.plan.preset} ({self.checkpoint.preset.licence})"
        )
        notes = [] if self.checkpoint.trained else [UNTRAINED_NOTE]
        return "\n".join(
            [
                film,
                *describe_run(self.checkpoint.preset, self.checkpoint.differences, self.request.options),
                *notes,
            ]
        )


def require_local(model: Checkpoint | RemoteModel) -> Checkpoint:
    """Return a model that can be loaded; TypeError for one that runs on a server."""
    if not isinstance(model, Checkpoint):
        raise TypeError("the model is not on this machine")
    return model


def resolve_request(
    request: Request, checkpoint: Checkpoint | None = None
) -> tuple[Request, Checkpoint | RemoteModel]:
    """Return the request with `--fast` replaced by what it selects, and its model, here or on a server.

    Errors: UsageError for speed options where the model runs on a server; those of `resolve_model`.
    """
    if request.remote is not None:
        if request.options.fast or request.options.speed_options():
            raise UsageError(
                "--engine: how exactly it computes is the server's choice",
                hint="give --fast to `lingbot serve` and leave it out here",
            )
        return request, request.remote.model
    options, model = resolve_model(request.options, checkpoint)
    return replace(request, options=options), model


def prepare(
    request: Request, stdin: Callable[[int], bytes] | None = None, *, checkpoint: Checkpoint | None = None
) -> PreparedVideo:
    """Read and check everything the film needs but the weights themselves; nothing is written.

    Errors: UsageError with all that is wrong in a timeline at once, SetupError for a model that is not here.
    """
    request, model = resolve_request(request, checkpoint)
    piped = stdin(MAX_BYTES + 1) if request.timeline == "-" and stdin is not None else b""
    chosen = resolve_timeline(
        model.preset.chunk,
        timeline=request.timeline,
        moves=request.moves,
        poses=request.poses,
        flags=request.flags,
        stdin=lambda most: piped[:most],
    )
    cuts = [path for _, path in chosen.compiled.cuts]
    images: dict[Path | None, np.ndarray] = {None: read_image(request.image)}
    images |= {path: read_image(path) for path in dict.fromkeys(cuts)}
    height, width = _size(request, chosen, images[None], model.preset.area)
    images = {path: crop_to_aspect(image, height, width) for path, image in images.items()}
    seed = next(seed for seed in (request.seed, chosen.header.seed, DEFAULT_SEED) if seed is not None)
    planned = make_plan(chosen.compiled, model.preset, height=height, width=width, seed=seed)
    text = None
    if request.timeline is not None:
        text = (piped if request.timeline == "-" else Path(request.timeline).read_bytes()).decode()
    return PreparedVideo(request, model, chosen, planned, tuple(iter_controls(chosen.compiled)), images, text)


def _size(request: Request, chosen: ResolvedTimeline, image: np.ndarray, area: int) -> tuple[int, int]:
    asked = request.size or chosen.header.size
    if asked is not None:
        return parse_size(asked)
    return fit_size(image.shape[0], image.shape[1], area)
