"""Stream sources: a timeline played once, a looped timeline, or live events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lingbot_cli.camera.scale import FIXED
from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.control import Control
from lingbot_cli.errors import UsageError
from lingbot_cli.image import crop_to_aspect, read_image, stretch_note
from lingbot_cli.remote.client import RemoteModel
from lingbot_cli.render.request import (
    UNTRAINED_NOTE,
    PreparedVideo,
    Request,
    choose_seed,
    choose_size,
    prepare,
    resolve_request,
)
from lingbot_cli.runtime.model_options import describe_run
from lingbot_cli.sinks.base import Chapter
from lingbot_cli.timeline.chunks import nearest_frame
from lingbot_cli.timeline.live import LiveTimeline, loop_timeline
from lingbot_cli.timeline.resolve import check_camera_flags
from lingbot_cli.timeline.schedule import schedule_timeline
from lingbot_cli.timeline.times import format_fps
from lingbot_cli.video_size import untrained_size_note


@dataclass(frozen=True)
class PreparedStream:
    """A stream ready to be rendered; `frames` and `chunks` are None where its length is unknown.

    `chapters`: those of a recording, of a timeline that is played once.
    """

    request: Request
    model: Checkpoint | RemoteModel
    image: np.ndarray
    height: int
    width: int
    fps: float
    seed: int
    scale: float
    controls: Iterable[Control]
    prompts: tuple[str, ...] = ()
    frames: int | None = None
    chunks: int | None = None
    chapters: tuple[Chapter, ...] = ()
    warnings: tuple[str, ...] = ()

    def scene_image(self, cut: Path | None) -> np.ndarray:
        """Return the first image of a scene, [H, W, 3] uint8."""
        return self.image if cut is None else crop_to_aspect(read_image(cut), self.height, self.width)

    def plan_json(self) -> dict[str, object]:
        """Return the plan as `--json` prints it."""
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
        """Return the stream in one line, then its run settings where they differ from the preset's."""
        length = "until stopped" if self.frames is None else f"{self.frames / self.fps:.1f} s"
        preset, options, differences = self.model.preset, self.request.options, self.model.differences
        line = (
            f"{self.width}x{self.height} · {length} at {format_fps(self.fps)} fps · seed {self.seed} · "
            f"{preset.name} ({preset.licence})"
        )
        changed = differences or options.speed_options() or options.notes
        run = describe_run(preset, differences, options) if changed else []
        return "\n".join([line, *run, *([] if self.model.trained else [UNTRAINED_NOTE])])


def prepare_video_stream(request: Request) -> PreparedStream:
    """Return the stream of a timeline played once. Errors: UsageError with all errors of the timeline."""
    return _play_once(prepare(request))


def _play_once(video: PreparedVideo) -> PreparedStream:
    plan = video.plan
    return PreparedStream(
        video.request,
        video.model,
        video.images[None],
        plan.height,
        plan.width,
        plan.fps,
        plan.seed,
        plan.scale,
        video.controls,
        video.prompts,
        plan.frames,
        len(video.controls),
        video.video_info().chapters,
        tuple(video.warnings),
    )


def prepare_loop(request: Request) -> PreparedStream:
    """Return the stream of a timeline that repeats, until the request's duration if it has one."""
    overrides = request.overrides
    if request.poses is not None:
        raise UsageError(
            "--loop cannot be used with --poses", hint="use --timeline with a `poses` event, or --moves"
        )
    duration = overrides.duration
    video = prepare(replace(request, overrides=replace(overrides, duration=None)))
    timeline, once = video.resolved.timeline, _play_once(video)
    assert timeline is not None, "a folder of poses cannot repeat"
    scheduled = schedule_timeline(
        timeline, once.model.preset.chunk, fps=overrides.fps, allow_outside=overrides.allow_outside
    )
    header = scheduled.header.fitted(once.height, once.width)
    scheduled = replace(scheduled, header=header)
    frames = None if duration is None else nearest_frame(scheduled.grid.to_frames(duration))
    controls = loop_timeline(scheduled, prompt=overrides.prompt, duration=duration)
    return replace(once, controls=controls, frames=frames, chunks=None, chapters=())


def prepare_live(
    request: Request, header: Mapping[str, Any], *, remember: bool
) -> tuple[PreparedStream, LiveTimeline]:
    """Return a stream of live events, and the timeline that takes them; `header` as plain values."""
    request, model = resolve_request(request)
    overrides = request.overrides
    check_camera_flags(overrides, "--timeline")
    rule = overrides.scale or FIXED
    if rule.kind in ("clip", "fit"):
        raise UsageError(
            f"--scale {rule} needs a camera that is known to its end", hint="use --scale fixed or a number"
        )
    live = LiveTimeline(
        model.preset.chunk,
        header,
        prompt=overrides.prompt,
        fps=overrides.fps,
        duration=overrides.duration,
        folder=Path.cwd(),
        allow_outside=overrides.allow_outside,
        keep_history=remember,
    )
    image = read_image(request.image)
    height, width = choose_size(request.size, live.header, image, model.preset.area)
    live.fit_lens(height, width)
    notes = (stretch_note(image, height, width), untrained_size_note(model.preset.sizes, height, width))
    stream = PreparedStream(
        request,
        model,
        crop_to_aspect(image, height, width),
        height,
        width,
        live.grid.fps,
        choose_seed(request.seed, live.header),
        rule.scale(np.zeros(0)),
        live,
        (overrides.prompt or live.header.prompt or "",),
        warnings=tuple(filter(None, notes)),
    )
    return stream, live
