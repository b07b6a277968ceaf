"""Use from Python: a loaded model that renders videos and plays sessions, frames as NumPy arrays."""

import base64
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from PIL import Image

from lingbot_cli.camera.keys import LETTERS
from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.errors import UsageError
from lingbot_cli.image import read_image
from lingbot_cli.render.backend import LocalRender
from lingbot_cli.render.request import PreparedVideo, Request, prepare
from lingbot_cli.runtime.fast_mode import resolve_model
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.sample_files import find_input
from lingbot_cli.sinks.factory import OutputOptions, choose_sink
from lingbot_cli.timeline.resolve import TimelineOverrides
from lingbot_cli.timeline.schema import CameraSettings
from lingbot_cli.timeline.times import parse_fps, parse_time
from lingbot_cli.video_size import parse_size

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel
    from lingbot_cli.server.play_session import PlaySession

Parsed = TypeVar("Parsed")
ImageSource = str | Path | np.ndarray
"""A file, a name under samples/, or an array [H, W, 3] uint8."""


def load(
    model: str | None = None, *, note: Callable[[str], None] = lambda _: None, **options: Any
) -> "LoadedModel":
    """Load a model by its name or folder, the built-in one without a name; `note` gets lines about it.

    `options` are the fields of `ModelOptions`, such as device, precision or threads. Errors: SetupError for a model
    that is not here, InsufficientMemoryError.
    """
    from lingbot_cli.server.serve import load_served_model
    from lingbot_cli.server.service import SessionDefaults

    resolved, checkpoint = resolve_model(ModelOptions(model=model, **options))
    world, _ = load_served_model(resolved, SessionDefaults(), note)
    return LoadedModel(world, checkpoint, resolved)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in memory; videos and sessions share it."""

    world: "WorldModel"
    checkpoint: Checkpoint
    options: ModelOptions

    def render(
        self,
        image: ImageSource,
        timeline: str | Path,
        *,
        prompt: str | None = None,
        seed: int | None = None,
        size: str | None = None,
        fps: float | str | None = None,
        duration: str | float | None = None,
    ) -> "Video":
        """Plan the video of a timeline's file, of moves such as "w-10,iw-15" or of camera files.

        `size` such as "832x480", `fps` such as 24 or "30000/1001", `duration` such as "10s" or seconds. Errors:
        UsageError.
        """
        from lingbot_cli.cli.options import camera_source

        overrides = TimelineOverrides(
            prompt,
            _parsed("fps", parse_fps, fps),
            _parsed("duration", parse_time, duration),
            allow_outside=False,
        )
        source = camera_source(find_input(str(timeline)))
        with tempfile.TemporaryDirectory() as folder:
            file = _image_file(image, Path(folder))
            request = Request(file, overrides=overrides, size=size, seed=seed, options=self.options)
            request = replace(request, **source)  # type: ignore[arg-type]
            return Video(prepare(request, checkpoint=self.checkpoint), self.world)

    def session(
        self, image: ImageSource, *, prompt: str = "", seed: int = 42, size: str | None = None
    ) -> "LiveSession":
        """Return a session that is walked step by step from an image. Errors: UsageError."""
        from lingbot_cli.server.client_messages import Init
        from lingbot_cli.server.protocol import ClientLimits
        from lingbot_cli.server.service import ModelService, SessionDefaults

        first = image if isinstance(image, np.ndarray) else read_image(Path(find_input(str(image))))
        height, width = parse_size(size) if size is not None else (None, None)
        defaults = SessionDefaults(first, prompt, seed, height, width, CameraSettings())
        pixels = (height or 0) * (width or 0)
        limits = ClientLimits(max_pixels=max(ClientLimits().max_pixels, pixels))
        return LiveSession(ModelService(self.world, limits, defaults).new_session(Init(type="init")))


@dataclass(frozen=True, eq=False)
class Video:
    """A planned video; iterating over it renders its frames [H, W, 3] uint8, each time from the start."""

    prepared: PreparedVideo
    world: "WorldModel"

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.prepared.plan.fps

    def __len__(self) -> int:
        return self.prepared.plan.frames

    def __iter__(self) -> Iterator[np.ndarray]:
        for frames in self._chunks():
            yield from frames

    def _chunks(self) -> Iterator[np.ndarray]:
        """Yield the frames of each chunk, [T, H, W, 3] uint8."""
        opened = LocalRender(self.prepared, self.world)
        session = opened.start_session(None)
        for number, control in enumerate(self.prepared.controls):
            if number and control.cut is not None:
                session = opened.start_session(control.cut)
            yield session.decode(session.denoise(control)).cpu().numpy()[: control.frames]

    def save(
        self,
        path: str | Path,
        *,
        quality: Literal["web", "master", "draft"] = "web",
        overwrite: bool = False,
    ) -> Path:
        """Render into a file of any format that `lingbot render -o` writes, and return its path."""
        sink = choose_sink(str(path), OutputOptions(quality=quality, overwrite=overwrite), os.environ)
        sink.write_video(self.prepared.video_info(), self._chunks())
        return Path(path)

    def _repr_html_(self) -> str:
        """Show the video in a notebook."""
        with tempfile.TemporaryDirectory() as folder:
            data = self.save(Path(folder) / "video.mp4").read_bytes()
        return f'<video controls loop src="data:video/mp4;base64,{base64.b64encode(data).decode()}"></video>'


class LiveSession:
    """A walk through a world, chunk by chunk."""

    def __init__(self, session: "PlaySession") -> None:
        self._session = session

    @property
    def fps(self) -> Fraction:
        """Frames a second at which the walk is played."""
        return Fraction(self._session.settings.fps)

    def step(self, keys: str = "", *, prompt: str | None = None) -> np.ndarray:
        """Render the next chunk with keys held, such as "w" or "wl", and return its frames [T, H, W, 3] uint8.

        `prompt` changes the prompt from this chunk on. Errors: UsageError for an unknown key.
        """
        from lingbot_cli.server.client_messages import ActionStates

        if unknown := sorted(set(keys) - set(LETTERS)):
            raise UsageError(f"unknown keys {', '.join(unknown)}", hint=f"use {' '.join(LETTERS)}")
        session = self._session
        session.inputs.push_actions(ActionStates((keys,)))
        if prompt is not None:
            if encoding := session.prepare_prompt(prompt):
                encoding.result()
            session.pending_prompt.set(prompt)
        chunk = session.accept(session.render_task(session.next_input())())
        assert chunk is not None
        session.mark_sent(chunk)
        return chunk.frames


def _parsed(name: str, parse: Callable[[object], Parsed], value: object) -> Parsed | None:
    """Return an argument's parsed value, None without one. Errors: UsageError."""
    try:
        return None if value is None else parse(value)
    except ValueError as wrong:
        raise UsageError(f"{name}: {wrong}") from wrong


def _image_file(image: ImageSource, folder: Path) -> Path:
    """Return the file of an image, an array's in `folder`."""
    if not isinstance(image, np.ndarray):
        return Path(find_input(str(image)))
    Image.fromarray(image).save(folder / "image.png")
    return folder / "image.png"
