"""Model of a process group that renders sessions together: for serve, play and stream on several GPUs."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.render.multi_gpu import ProcessGroup
from lingbot_cli.runtime.autotune import apply_tuning, choose_tuning
from lingbot_cli.runtime.fast_mode import resolve_model
from lingbot_cli.runtime.load_model import compile_model, load_model, load_progress
from lingbot_cli.runtime.model_options import ModelOptions

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel

OnMessage = Callable[[str], None]


def load_leader_model(
    group: ProcessGroup,
    checkpoint: Checkpoint,
    options: ModelOptions,
    prompts: Iterable[str],
    height: int,
    width: int,
    *,
    note: OnMessage,
    warn: OnMessage,
) -> "WorldModel":
    """Load the leader's share of a model for images of a size; its sessions are shared by the followers."""
    from lingbot_cli.model.group_session import lead

    group.connect(options.device, idle=True)
    return lead(_load(group, checkpoint, options, prompts, (height, width), note, warn))


def follow_sessions(group: ProcessGroup, options: ModelOptions) -> None:
    """Load a follower's share of the model and render with the leader until it stops."""
    from lingbot_cli.model.group_session import follow

    options, checkpoint = resolve_model(options)
    group.connect(options.device, idle=True)
    follow(_load(group, checkpoint, options, (), None, _ignore, _ignore))


def _load(
    group: ProcessGroup,
    checkpoint: Checkpoint,
    options: ModelOptions,
    prompts: Iterable[str],
    size: tuple[int, int] | None,
    note: OnMessage,
    warn: OnMessage,
) -> "WorldModel":
    """Load a process's share with the leader's tuning and size."""
    height, width = group.broadcast(lambda: size) or (0, 0)
    tuning = group.broadcast(lambda: choose_tuning(checkpoint, options, height, width, processes=group.size))
    note(tuning.describe())
    model = load_model(checkpoint, options, prompts, load_progress(note))
    model = apply_tuning(group.shard(model), tuning)
    compile_model(model, options, height, width, note=note, warn=warn)
    return model


def _ignore(_line: str) -> None:
    """Leave the messages to the leader."""
