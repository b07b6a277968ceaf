"""The one way in which a world comes to be used, by films, streams, games and measurements alike."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from lingbot_cli.model.accel.compiling import compile_or_warn, should_compile
from lingbot_cli.runtime.autotune import Asked, tuned, tuning_of
from lingbot_cli.runtime.loading import telling

if TYPE_CHECKING:
    from lingbot_cli.model.loading.tensor_io import OnLoadProgress
    from lingbot_cli.model.world_model import WorldModel

Say = Callable[[str], None]


def load(asked: Asked, report: "OnLoadProgress | None" = None) -> "WorldModel":
    """Load the world and encode every prompt that is known; `report` is told how far that is."""
    from lingbot_cli.model.loading.load import load_world

    request, settings = asked.request, asked.request.settings
    return load_world(
        asked.here,
        device=request.device,
        precision=request.precision,
        decode=settings.decode,
        text_on=settings.text_on or "cpu",
        offloaded=settings.offload,
        decode_on=settings.decode_on,
        linears=settings.linears,
        attention=settings.attention,
        tiny_decoder=settings.tiny_decoder,
        prompts=asked.prompts,
        report=report,
    )


def compiled(world: "WorldModel", asked: Asked, height: int, width: int, *, note: Say, warn: Say) -> None:
    """Compile the world's blocks for a size where that is wanted."""
    if should_compile(asked.request.settings.compile, str(world.device)):
        compile_or_warn(world, height, width, note=note, warn=warn)


def opened(asked: Asked, height: int, width: int, *, note: Say, warn: Say) -> "WorldModel":
    """A world for pictures of a size: its kernel and threads chosen, loaded, its blocks compiled if need be."""
    tuning = tuning_of(asked, height, width)
    note(tuning.words())
    world = tuned(load(asked, telling(note)), tuning)
    compiled(world, asked, height, width, note=note, warn=warn)
    return world
