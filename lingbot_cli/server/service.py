"""Service of one loaded model: its limits and defaults, and new play sessions for clients."""

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lingbot_cli.errors import UsageError
from lingbot_cli.image import crop_to_aspect, read_image
from lingbot_cli.runtime.session_memory import SessionMemory
from lingbot_cli.server.auth import ResumeKeys
from lingbot_cli.server.client_messages import Init
from lingbot_cli.server.play_session import PlaySession, SessionFactory, SessionSettings
from lingbot_cli.server.protocol import ClientLimits, ProtocolError
from lingbot_cli.timeline.schema import CameraSettings
from lingbot_cli.video_size import fit_size, parse_size

if TYPE_CHECKING:
    from lingbot_cli.model.session import Session
    from lingbot_cli.model.world_model import WorldModel

log = logging.getLogger("lingbot.server")

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP")


@dataclass(frozen=True, eq=False)
class SessionDefaults:
    """Defaults for fields that a client omits: first image [H, W, 3] uint8, prompt, seed, size and camera."""

    image: np.ndarray | None = None
    prompt: str = ""
    seed: int = 42
    height: int | None = None
    width: int | None = None
    camera: CameraSettings | None = None

    def size(self, area: int, image: np.ndarray | None = None) -> tuple[int, int] | None:
        """Return the default height and width, of about `area` pixels; None without an image."""
        if self.height is not None and self.width is not None:
            return self.height, self.width
        image = self.image if image is None else image
        return None if image is None else fit_size(image.shape[0], image.shape[1], area)


@dataclass(frozen=True, eq=False)
class ModelService:
    """One model, its limits and defaults. `on_chunk` is called after each chunk that was sent."""

    model: "WorldModel"
    limits: ClientLimits
    defaults: SessionDefaults = SessionDefaults()
    on_chunk: Callable[[PlaySession], None] = lambda _session: None
    resume_keys: ResumeKeys = field(default_factory=ResumeKeys)
    memory: SessionMemory | None = None

    def new_session(self, init: Init) -> PlaySession:
        """Create a client's session. Errors: ProtocolError for settings beyond the limits."""
        preset = self.model.preset
        try:
            settings, factory = self._settings(init), self._session_factory(init)
            session = PlaySession(
                settings,
                preset.chunk,
                factory,
                self.limits,
                self.resume_keys.new(),
                self.model.prepare_prompt,
            )
        except UsageError as error:
            raise ProtocolError("bad_init", f"init: {error}") from error
        if self.memory is not None:
            window = self._model_for(init).preset
            session.device_bytes = self.memory.session_bytes(window, settings.height, settings.width)
        return session

    def _settings(self, init: Init) -> SessionSettings:
        image = self._image(init)
        height, width = self._size(init, image)
        if (
            init.max_chunks is not None
            and self.limits.max_chunks
            and init.max_chunks > self.limits.max_chunks
        ):
            raise ProtocolError("too_many_chunks", f"max_chunks may be {self.limits.max_chunks} at most")
        chunks = min(filter(None, (init.max_chunks, self.limits.max_chunks)), default=None)
        return SessionSettings(
            image=crop_to_aspect(image, height, width),
            prompt=init.prompt if init.prompt.strip() else self.defaults.prompt.strip(),
            height=height,
            width=width,
            fps=init.fps or self.model.preset.fps,
            seed=init.seed if init.seed is not None else self.defaults.seed,
            camera=init.camera or self.defaults.camera,
            exact=init.controls,
            windows=self._allowed_windows(init),
            scale=init.scale,
            script=tuple(init.script(self.limits)),
            max_chunks=chunks,
        )

    def check(self) -> None:
        """Raise SetupError if the model's process group cannot render any more."""
        if self.model.leader is not None:
            self.model.leader.check()

    def warm_up(self, chunks: int = 1) -> list[tuple[int, float]]:
        """Render chunks with the defaults before the first client comes; return the frames and seconds of each."""
        session = self.new_session(Init(type="init"))
        results = []
        for _ in range(chunks):
            chunk = session.accept(session.render_task(session.next_input())())
            assert chunk is not None
            results.append((len(chunk.frames), chunk.render_s))
        return results

    def model_info(self) -> dict[str, Any]:
        """Return the model's entry in `/v1/models`, which the page gets as well."""
        preset = self.model.preset
        size = self.defaults.size(preset.area)
        return {
            "id": preset.name,
            "object": "model",
            "owned_by": "lingbot",
            "licence": preset.licence,
            "trained": self.model.trained,
            "chunk": preset.chunk,
            "fps": preset.fps,
            "area": preset.area,
            "sizes": list(preset.sizes),
            "steps": len(preset.steps),
            "window": preset.window,
            "sink": preset.sink,
            "size": None if size is None else f"{size[1]}x{size[0]}",
            "max_pixels": self.limits.max_pixels,
            "identity": self.model.identity,
            "offers": [
                "controls",
                "camera",
                "pause",
                "reset",
                "resume",
                "output",
                "turn",
                "window",
                "timeline",
            ],
            "picture": self.defaults.image is not None,
            "prompt": self.defaults.prompt,
            "seed": self.defaults.seed,
        }

    def _image(self, init: Init) -> np.ndarray:
        if init.image is None:
            if self.defaults.image is None:
                raise ProtocolError("no_first_frame", "init needs first_frame, the bytes of an image")
            return self.defaults.image
        try:
            return read_image(
                io.BytesIO(init.image),
                name="first_frame",
                formats=IMAGE_FORMATS,
                max_pixels=self.limits.max_image_pixels,
            )
        except UsageError as error:
            raise ProtocolError("bad_first_frame", str(error)) from error

    def _size(self, init: Init, image: np.ndarray) -> tuple[int, int]:
        if init.size is None:
            height, width = self._usual_size(image)
        else:
            try:
                height, width = parse_size(init.size[:40])
            except UsageError as error:
                raise ProtocolError("bad_size", f"size {str(error).removeprefix('--size ')}") from error
        if height * width > self.limits.max_pixels:
            usual = self._usual_size(image)
            raise ProtocolError(
                "too_large",
                f"size {width}x{height} is more than {self.limits.max_pixels} pixels; "
                f"use {usual[1]}x{usual[0]}, the size of this model, or serve with --any-size",
            )
        return height, width

    def _usual_size(self, image: np.ndarray) -> tuple[int, int]:
        """Return the default height and width, or the model's for an image. Errors: UsageError for a strip."""
        found = self.defaults.size(self.model.preset.area, image)
        assert found is not None
        return found

    def _session_factory(self, init: Init) -> SessionFactory:
        model = self._model_for(init)

        def create(settings: SessionSettings, scale: float) -> "Session":
            from lingbot_cli.model.group_session import open_session

            return open_session(
                model,
                settings.image,
                height=settings.height,
                width=settings.width,
                seed=settings.seed,
                scale=scale,
            )

        return create

    def _allowed_windows(self, init: Init) -> range:
        """Return the windows that a client may set later: up to the server's limit, none for one without a limit."""
        preset, limit = self._model_for(init).preset, self._window_limit
        return range(preset.sink + preset.chunk, limit + 1) if limit >= 0 else range(0)

    @property
    def _window_limit(self) -> int:
        """The largest window that a client may set, in latent frames; −1 for no limit."""
        return self.limits.max_window if self.limits.max_window is not None else self.model.preset.window

    def _model_for(self, init: Init) -> "WorldModel":
        """Return the model with the attention window and sink of a client; its modules are shared.

        A window beyond the server's limit is that limit, a sink that it cannot hold the largest that it can:
        pages ask for those of the largest models. Errors: ProtocolError for a window without room for a chunk.
        """
        preset = self.model.preset
        asked = init.realtime_causal_kv_cache_num_frames, init.realtime_causal_sink_size
        limit = self._window_limit
        window = preset.window if asked[0] is None else asked[0]
        if limit >= 0:
            window = min(window, limit) if window >= 0 else limit
        if 0 <= window < preset.chunk:
            raise ProtocolError(
                "bad_init",
                f"a window of {window} latent frames is too small for a chunk of {preset.chunk}",
            )
        sink = preset.sink if asked[1] is None else asked[1]
        if window >= 0:
            sink = min(sink, window - preset.chunk)
        if (window, sink) != (asked[0] or window, asked[1] or sink):
            log.info("a client asked for window %s, sink %s; it gets %d, %d", *asked, window, sink)
        if (window, sink) == (preset.window, preset.sink):
            return self.model
        return replace(self.model, preset=replace(preset, window=window, sink=sink))
