"""Loading, tuning and compiling of a model, the same for render, stream, play, serve and bench."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.model.accel.compiling import compile_or_warn, should_compile
from lingbot_cli.runtime.autotune import tuned, tuning_of
from lingbot_cli.runtime.loading import telling
from lingbot_cli.runtime.model_options import ModelOptions

if TYPE_CHECKING:
    from lingbot_cli.model.loading.tensor_io import OnLoadProgress
    from lingbot_cli.model.world_model import WorldModel

Say = Callable[[str], None]


def load(
    checkpoint: Checkpoint,
    options: ModelOptions,
    prompts: Iterable[str],
    report: "OnLoadProgress | None" = None,
) -> "WorldModel":
    """Load a model and encode the prompts that are known; torch is imported only here."""
    from lingbot_cli.model.loading.load import load_model

    return load_model(checkpoint, options, prompts=prompts, report=report)


def compiled(
    world: "WorldModel", options: ModelOptions, height: int, width: int, *, note: Say, warn: Say
) -> None:
    """Compile the model's blocks for a size, where the options or the device ask for it."""
    if should_compile(options.compile, str(world.device)):
        compile_or_warn(world, height, width, note=note, warn=warn)


def opened(
    checkpoint: Checkpoint,
    options: ModelOptions,
    prompts: Iterable[str],
    height: int,
    width: int,
    *,
    note: Say,
    warn: Say,
) -> "WorldModel":
    """Load a model ready for images of a size: kernel and threads chosen, blocks compiled where wanted."""
    tuning = tuning_of(checkpoint, options, height, width)
    note(tuning.words())
    world = tuned(load(checkpoint, options, prompts, telling(note)), tuning)
    compiled(world, options, height, width, note=note, warn=warn)
    return world
