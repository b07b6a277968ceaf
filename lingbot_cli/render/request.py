"""Render request, and the prepared video: everything known about it before torch is imported."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.control import Control
from lingbot_cli.errors import UsageError
from lingbot_cli.image import crop_to_aspect, read_image, stretch_note
from lingbot_cli.plan import Plan, make_plan
from lingbot_cli.prompt_cleaning import PromptFitter
from lingbot_cli.remote.client import RemoteModel, RemoteTarget
from lingbot_cli.runtime.fast_mode import resolve_model
from lingbot_cli.runtime.model_options import ModelOptions, describe_run
from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.overlay import Caption
from lingbot_cli.timeline.compile import iter_controls
from lingbot_cli.timeline.resolve import ResolvedTimeline, TimelineOverrides, resolve_timeline
from lingbot_cli.timeline.schema import TimelineHeader
from lingbot_cli.timeline.times import exact_fps, format_fps
from lingbot_cli.video_size import fit_size, parse_size, untrained_size_note

DEFAULT_SEED = 42
UNTRAINED_NOTE = "this model is untrained: its weights are random, so the video moves but shows no place"
_FRAME_RANGE = re.compile(r"(\d{0,7}):(\d{0,7})", re.ASCII)


@dataclass(frozen=True)
class Request:
    """One video as a command asks for it; None leaves a choice to the timeline's header or the model.

    `gpus`: processes that render each chunk together.
    """

    image: Path
    timeline: str | None = None
    moves: str | None = None
    poses: str | None = None
    overrides: TimelineOverrides = field(default_factory=TimelineOverrides)
    size: str | None = None
    seed: int | None = None
    options: ModelOptions = field(default_factory=ModelOptions)
    remote: RemoteTarget | None = None
    gpus: int = 1


@dataclass(frozen=True)
class PreparedVideo:
    """A video ready to be rendered.

    `images` [H, W, 3] uint8 of each scene, the first under None; `timeline` is its file's text; frames before
    `first_frame` are not written.
    """

    request: Request
    model: Checkpoint | RemoteModel
    resolved: ResolvedTimeline
    plan: Plan
    controls: tuple[Control, ...]
    images: dict[Path | None, np.ndarray]
    timeline: str | None
    first_frame: int = 0

    @property
    def checkpoint(self) -> Checkpoint:
        """The model's checkpoint; TypeError for a model on a server."""
        return require_local(self.model)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt, once each."""
        return tuple(dict.fromkeys(control.prompt for control in self.controls))

    @property
    def warnings(self) -> list[str]:
        """Warnings of the timeline and of the prompts that the text encoder cuts."""
        return list(self.resolved.warnings)

    @property
    def frames(self) -> int:
        """Number of frames that are written."""
        return self.plan.frames - self.first_frame

    def captions(self) -> list[Caption]:
        """Return the overlay's keys and prompt for each frame."""
        keys = self.resolved.compiled.keys
        return [
            Caption(keys[frame], chunk.prompt)
            for chunk in self.plan.chunks
            for frame in range(chunk.start, chunk.start + chunk.frames)
        ][self.first_frame :]

    def subtitles(self) -> str:
        """Return the prompts as SRT text, each from its first frame to the next one's."""
        fps, first = self.plan.fps, self.first_frame
        spans: list[tuple[int, int, str]] = []
        for chunk in self.plan.chunks:
            start, end = max(chunk.start - first, 0), chunk.start + chunk.frames - first
            if spans and spans[-1][2] == chunk.prompt:
                spans[-1] = (spans[-1][0], end, chunk.prompt)
            elif end > 0:
                spans.append((start, end, chunk.prompt))

        def time(frame: int) -> str:
            seconds, ms = divmod(round(1000 * frame / fps), 1000)
            return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{ms:03d}"

        cues = [(start, end, " ".join(prompt.split())) for start, end, prompt in spans if prompt.strip()]
        lines = [f"{i}\n{time(a)} --> {time(b)}\n{text}\n" for i, (a, b, text) in enumerate(cues, 1)]
        return "\n".join(lines)

    def video_info(self) -> VideoInfo:
        """Return the sinks' description of the video, without metadata."""
        first, options = self.first_frame, self.request.options
        chapters = tuple(
            Chapter(marker.start - first, marker.text)
            for marker in self.resolved.compiled.markers
            if first <= marker.start < self.plan.frames
        )
        decoder = self.model.decoder_identity if isinstance(self.model, Checkpoint) else None
        place = "" if options.decode_on is None else f" on {options.decode_on}"
        return VideoInfo(
            self.plan.height,
            self.plan.width,
            exact_fps(self.plan.fps),
            self.frames,
            chapters,
            subtitles=self.subtitles(),
            variant=f"from frame {first}, decoded in {options.decode}{place} by {decoder}",
        )

    def summary(self) -> str:
        """Return the video and its run settings as lines, a line for each that differs from the preset's."""
        plan, preset, chunks = self.plan, self.model.preset, len(self.plan.chunks)
        video = (
            f"{plan.width}x{plan.height} · {self.frames} frames, {self.frames / plan.fps:.1f} s at "
            f"{format_fps(plan.fps)} fps · {chunks} chunk{'s' if chunks > 1 else ''} · seed {plan.seed} · "
            f"{plan.preset} ({preset.licence})"
        )
        run = describe_run(preset, self.model.differences, self.request.options)
        return "\n".join([video, *run, *([] if self.model.trained else [UNTRAINED_NOTE])])


def require_local(model: Checkpoint | RemoteModel) -> Checkpoint:
    """Return a model that can be loaded; TypeError for one on a server."""
    if not isinstance(model, Checkpoint):
        raise TypeError("the model is not on this machine")
    return model


def resolve_request(
    request: Request, checkpoint: Checkpoint | None = None
) -> tuple[Request, Checkpoint | RemoteModel]:
    """Return the request with `--fast` replaced by the options it selects, and its model, local or remote.

    Errors: UsageError for options that a server decides; those of `resolve_model`.
    """
    if request.remote is not None:
        options = request.options
        given = [each.name for each in fields(options) if getattr(options, each.name) != each.default]
        if names := [
            f"--{name.replace('_', '-')}" for name in given if name not in ("model", "preset", "notes")
        ]:
            raise UsageError(
                f"--engine: the server decides {', '.join(names)}",
                hint="give them to `lingbot serve` and leave them out here",
            )
        return request, request.remote.model
    options, model = resolve_model(request.options, checkpoint)
    return replace(request, options=options), model


def choose_size(asked: str | None, header: TimelineHeader, image: np.ndarray, area: int) -> tuple[int, int]:
    """Return height and width: of the option, else the header, else the image's shape with the model's area."""
    size = asked or header.size
    return parse_size(size) if size is not None else fit_size(image.shape[0], image.shape[1], area)


def choose_seed(asked: int | None, header: TimelineHeader) -> int:
    """Return the seed of the option, else the header, else the default."""
    return next(seed for seed in (asked, header.seed, DEFAULT_SEED) if seed is not None)


def prepare(
    request: Request, stdin: Callable[[int], bytes] | None = None, *, checkpoint: Checkpoint | None = None
) -> PreparedVideo:
    """Read and validate everything the video needs but the weights; nothing is written.

    Errors: UsageError with all errors of a timeline at once, SetupError for a model that is not on this machine.
    """
    request, model = resolve_request(request, checkpoint)
    first = read_image(request.image)

    def frame_size(header: TimelineHeader) -> tuple[int, int]:
        return choose_size(request.size, header, first, model.preset.area)

    resolved = resolve_timeline(
        model.preset.chunk,
        timeline=request.timeline,
        moves=request.moves,
        poses=request.poses,
        overrides=request.overrides,
        stdin=stdin,
        size=frame_size,
    )
    compiled = resolved.compiled
    cuts = [path for _, path in compiled.cuts]
    images: dict[Path | None, np.ndarray] = {None: first}
    images |= {path: read_image(path) for path in dict.fromkeys(cuts)}
    height, width = frame_size(resolved.header)
    notes = {stretch_note(image, height, width) for image in images.values()}
    notes = (notes | {untrained_size_note(model.preset.sizes, height, width)}) - {None}
    resolved = replace(resolved, warnings=(*resolved.warnings, *sorted(map(str, notes))))
    images = {path: crop_to_aspect(image, height, width) for path, image in images.items()}
    seed = choose_seed(request.seed, resolved.header)
    plan = make_plan(compiled, model.preset, height=height, width=width, seed=seed)
    source = resolved.timeline.source if request.timeline is not None and resolved.timeline else None
    text = source.text if source is not None else None
    controls = tuple(iter_controls(compiled))
    if isinstance(model, Checkpoint):
        cuts_of_prompts: dict[str, None] = {}
        fit = PromptFitter(model.layout.tokenizer, model.preset.text_len, cuts_of_prompts.setdefault)
        controls = tuple(replace(each, prompt=fit(each.prompt, each.action_text)) for each in controls)
        resolved = replace(resolved, warnings=(*resolved.warnings, *cuts_of_prompts))
    return PreparedVideo(request, model, resolved, plan, controls, images, text)


def frame_range(frames: str, total: int) -> tuple[int, int]:
    """Return the first frame of a range `A:B` of `total` frames and the one after its last. Errors: UsageError."""
    found = _FRAME_RANGE.fullmatch(frames)
    if found is None:
        raise UsageError(f"--frames {frames}: not a range", hint="write A:B, for example 0:48 or 480:")
    first, end = int(found[1] or 0), int(found[2] or total)
    if not first < end <= total:
        raise UsageError(
            f"--frames {frames}: the video has frames 0 to {total}", hint="write A:B with A before B"
        )
    return first, end


def select_frames(prepared: PreparedVideo, frames: str) -> PreparedVideo:
    """Return the video cut to the frames `A:B`, B excluded; either may be left out. Errors: UsageError.

    Earlier chunks are generated too, for later ones attend to them, but decoded only where the decoder needs them.
    """
    first, end = frame_range(frames, prepared.plan.frames)
    count = sum(chunk.start < end for chunk in prepared.plan.chunks)
    chunks, controls = list(prepared.plan.chunks[:count]), list(prepared.controls[:count])
    shown = end - chunks[-1].start
    chunks[-1], controls[-1] = replace(chunks[-1], frames=shown), replace(controls[-1], frames=shown)
    plan = replace(prepared.plan, frames=end, chunks=tuple(chunks))
    return replace(prepared, plan=plan, controls=tuple(controls), first_frame=first)
