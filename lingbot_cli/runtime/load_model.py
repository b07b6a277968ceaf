"""Loading, tuning and compiling of a model, the same for render, stream, play, serve and bench."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.model.accel.compiling import compile_or_warn, should_compile
from lingbot_cli.runtime.autotune import apply_tuning, choose_tuning
from lingbot_cli.runtime.loading import load_progress
from lingbot_cli.runtime.model_options import ModelOptions

if TYPE_CHECKING:
    from lingbot_cli.model.loading.tensor_io import OnLoadProgress
    from lingbot_cli.model.world_model import WorldModel

OnMessage = Callable[[str], None]


def load_model(
    checkpoint: Checkpoint,
    options: ModelOptions,
    prompts: Iterable[str],
    report: "OnLoadProgress | None" = None,
) -> "WorldModel":
    """Load a model and encode the prompts that are known; torch is imported only here."""
    from lingbot_cli.model.loading.load import load_model

    return load_model(checkpoint, options, prompts=prompts, report=report)


def compile_model(
    world: "WorldModel", options: ModelOptions, height: int, width: int, *, note: OnMessage, warn: OnMessage
) -> None:
    """Compile the model's blocks for a size, where the options or the device ask for it."""
    if should_compile(options.compile, str(world.device)):
        compile_or_warn(world, height, width, note=note, warn=warn)


def load_tuned(
    checkpoint: Checkpoint,
    options: ModelOptions,
    prompts: Iterable[str],
    height: int,
    width: int,
    *,
    note: OnMessage,
    warn: OnMessage,
) -> "WorldModel":
    """Load a model ready for images of a size: kernel and threads chosen, blocks compiled where wanted."""
    tuning = choose_tuning(checkpoint, options, height, width)
    note(tuning.words())
    world = apply_tuning(load_model(checkpoint, options, prompts, load_progress(note)), tuning)
    compile_model(world, options, height, width, note=note, warn=warn)
    return world
