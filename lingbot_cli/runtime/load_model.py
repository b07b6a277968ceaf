"""Loading, tuning and compiling of a model, the same for render, stream, play, serve and bench."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.runtime.autotune import apply_tuning, choose_tuning
from lingbot_cli.runtime.memory import gigabytes
from lingbot_cli.runtime.model_options import ModelOptions

if TYPE_CHECKING:
    from lingbot_cli.model.loading.tensor_io import LoadProgress, OnLoadProgress
    from lingbot_cli.model.world_model import WorldModel
    from lingbot_cli.render.multi_gpu import ProcessGroup

OnMessage = Callable[[str], None]
PROGRESS_INTERVAL_S = 5.0
MIN_REPORTED_S = 1.0
"""A part of the model that loads faster is not reported."""


def load_model(
    checkpoint: Checkpoint,
    options: ModelOptions,
    prompts: Iterable[str],
    report: "OnLoadProgress | None" = None,
    warn: OnMessage = lambda _: None,
    *,
    keep_text_encoder: bool = False,
) -> "WorldModel":
    """Load a model and encode the prompts that are known; torch is imported only now."""
    from lingbot_cli.model.loading.loader import load_model

    return load_model(
        checkpoint, options, prompts=prompts, report=report, warn=warn, keep_text_encoder=keep_text_encoder
    )


def compile_model(
    model: "WorldModel", options: ModelOptions, height: int, width: int, *, note: OnMessage, warn: OnMessage
) -> None:
    """Compile the model's blocks for a size, where the options or the device ask for it."""
    from lingbot_cli.model.accel.torch_compile import compile_or_warn, should_compile

    if should_compile(options.compile, str(model.device)):
        compile_or_warn(model, height, width, note=note, warn=warn)


def load_tuned(
    checkpoint: Checkpoint,
    options: ModelOptions,
    prompts: Iterable[str],
    height: int,
    width: int,
    *,
    note: OnMessage,
    warn: OnMessage,
    group: "ProcessGroup | None" = None,
    keep_text_encoder: bool = True,
) -> "WorldModel":
    """Load a model for images of a size, tuned, and compiled where wanted; its text encoder is for prompts to come.

    In a `group` it is this process's share, for the leader's size and tuning; followers share the leader's sessions.
    """
    size = height, width
    if group is None:
        tuning = choose_tuning(checkpoint, options, *size)
    else:
        group.connect(options.device, idle=True)
        size = group.broadcast(lambda: (height, width))
        tuning = group.broadcast(lambda: choose_tuning(checkpoint, options, *size, processes=group.size))
    note(tuning.describe())
    report = load_progress(note)
    model = load_model(checkpoint, options, prompts, report, warn, keep_text_encoder=keep_text_encoder)
    model = apply_tuning(model if group is None else group.shard(model), tuning)
    compile_model(model, options, *size, note=note, warn=warn)
    return group.lead(model) if group is not None and group.is_leader else model


def load_progress(note: OnMessage) -> Callable[["LoadProgress"], None]:
    """Return a progress callback: a line every five seconds, and one at the end of a part that took over one."""
    last: dict[str, float] = {}

    def report(progress: "LoadProgress") -> None:
        complete = progress.done == progress.total and progress.seconds >= MIN_REPORTED_S
        if complete or progress.seconds - last.get(progress.part, 0.0) >= PROGRESS_INTERVAL_S:
            last[progress.part] = progress.seconds
            note(
                f"loading the {progress.part}: {gigabytes(progress.done)} of {gigabytes(progress.total)}, "
                f"{progress.seconds:.0f} s"
            )

    return report
