"""What is served: a loaded world, what it allows, and how an `init` becomes a setting."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lingbot_cli.errors import UsageError
from lingbot_cli.image import crop_to_aspect, read_image
from lingbot_cli.server.messages import Init
from lingbot_cli.server.play_session import PlaySession, SessionFactory, SessionSettings
from lingbot_cli.server.protocol import Limits, ProtocolError
from lingbot_cli.timeline.schema import CameraSettings
from lingbot_cli.video_size import fit_size, parse_size

if TYPE_CHECKING:
    from lingbot_cli.model.session import Session
    from lingbot_cli.model.world_model import WorldModel

PICTURES = ("PNG", "JPEG", "WEBP")


@dataclass(frozen=True, eq=False)
class Offer:
    """What a client that leaves things out gets: the first picture, prompt, seed, film size and camera."""

    picture: np.ndarray | None = None
    prompt: str = ""
    seed: int = 42
    height: int | None = None
    width: int | None = None
    camera: CameraSettings | None = None

    def size(self, area: int, picture: np.ndarray | None = None) -> tuple[int, int] | None:
        """Height and width for a client that names none, of about so many pixels; None without a picture."""
        if self.height is not None and self.width is not None:
            return self.height, self.width
        picture = self.picture if picture is None else picture
        return None if picture is None else fit_size(picture.shape[0], picture.shape[1], area)


@dataclass(frozen=True, eq=False)
class Service:
    """One world and the terms it is played on. `on_chunk` hears of every chunk sent."""

    world: "WorldModel"
    limits: Limits
    offer: Offer = Offer()
    on_chunk: Callable[[PlaySession], None] = lambda _living: None

    def living(self, init: Init) -> PlaySession:
        """A world for a client; Refusal when it asks for more than there is."""
        preset = self.world.preset
        try:
            return PlaySession(self.setting(init), preset.chunk, self._begin(init), self.limits)
        except UsageError as wrong:
            raise ProtocolError("bad_init", f"init: {wrong}") from wrong

    def setting(self, init: Init) -> SessionSettings:
        """What a world begins with."""
        picture = self._picture(init)
        height, width = self._size(init, picture)
        if init.max_chunks is not None and self.limits.chunks and init.max_chunks > self.limits.chunks:
            raise ProtocolError("too_many_chunks", f"max_chunks may be {self.limits.chunks} at most")
        chunks = min(filter(None, (init.max_chunks, self.limits.chunks)), default=None)
        return SessionSettings(
            picture=crop_to_aspect(picture, height, width),
            prompt=init.prompt if init.prompt.strip() else self.offer.prompt.strip(),
            height=height,
            width=width,
            fps=init.fps or self.world.preset.fps,
            seed=init.seed if init.seed is not None else self.offer.seed,
            camera=init.camera or self.offer.camera,
            exact=init.controls,
            scale=init.scale,
            script=tuple(init.script(self.limits)),
            max_chunks=chunks,
        )

    def warm(self) -> None:
        """Make one chunk of the world that is offered, so that the first client does not wait for firsts."""
        living = self.living(Init(type="init"))
        living.work(living.tell())()

    def facts(self) -> dict[str, Any]:
        """What `/v1/models` and the page tell of the world."""
        preset = self.world.preset
        size = self.offer.size(preset.area)
        return {
            "id": preset.name,
            "object": "model",
            "owned_by": "lingbot",
            "licence": preset.licence,
            "trained": self.world.trained,
            "chunk": preset.chunk,
            "fps": preset.fps,
            "area": preset.area,
            "steps": len(preset.steps),
            "window": preset.window,
            "sink": preset.sink,
            "size": None if size is None else f"{size[1]}x{size[0]}",
            "max_pixels": self.limits.pixels,
            "identity": self.world.identity,
            "offers": ["controls", "camera", "pause", "reset", "resume", "output", "turn"],
            "picture": self.offer.picture is not None,
            "prompt": self.offer.prompt,
            "seed": self.offer.seed,
        }

    def _picture(self, init: Init) -> np.ndarray:
        if init.picture is None:
            if self.offer.picture is None:
                raise ProtocolError("no_first_frame", "init needs first_frame, the bytes of a picture")
            return self.offer.picture
        try:
            return read_image(
                io.BytesIO(init.picture),
                name="first_frame",
                formats=PICTURES,
                max_pixels=self.limits.picture_pixels,
            )
        except UsageError as wrong:
            raise ProtocolError("bad_first_frame", str(wrong)) from wrong

    def _size(self, init: Init, picture: np.ndarray) -> tuple[int, int]:
        if init.size is None:
            found = self.offer.size(self.world.preset.area, picture)
            assert found is not None
            return found
        try:
            height, width = parse_size(init.size[:40])
        except UsageError as wrong:
            raise ProtocolError("bad_size", f"size {str(wrong).removeprefix('--size ')}") from wrong
        if height * width > self.limits.pixels:
            raise ProtocolError("too_large", f"{width}x{height} is more than {self.limits.pixels} pixels")
        return height, width

    def _begin(self, init: Init) -> SessionFactory:
        world = self._fitted(init)

        def begin(setting: SessionSettings, scale: float) -> "Session":
            from lingbot_cli.model.session import Session

            return Session(
                world,
                setting.picture,
                height=setting.height,
                width=setting.width,
                seed=setting.seed,
                scale=scale,
            )

        return begin

    def _fitted(self, init: Init) -> "WorldModel":
        """The world with the memory a client asks for, the modules shared."""
        preset = self.world.preset
        window, sink = init.realtime_causal_kv_cache_num_frames, init.realtime_causal_sink_size
        limit = self.limits.window if self.limits.window is not None else preset.window
        if window is not None and (window == 0 or (limit >= 0 and window > limit)):
            raise ProtocolError("too_large", f"a window of {window} latent frames: 1 to {limit} are allowed")
        window = preset.window if window is None else window
        sink = min(preset.sink, window) if sink is None else sink
        if window >= 0 and window < sink + preset.chunk:
            raise ProtocolError(
                "bad_init", f"a window of {window} holds no sink of {sink} beside a chunk of {preset.chunk}"
            )
        if (window, sink) == (preset.window, preset.sink):
            return self.world
        return replace(self.world, preset=replace(preset, window=window, sink=sink))
