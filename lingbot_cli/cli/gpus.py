"""`--gpus`: several processes of this machine, one a GPU, behind one command."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from lingbot_cli.cli.app import option
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.runtime.model_options import ModelOptions

if TYPE_CHECKING:
    from lingbot_cli.render.multi_gpu import ProcessGroup

Gpus = Annotated[
    int, option("--gpus", "GPUs of this machine that render each chunk together.", panel="Speed", min=1)
]


@contextmanager
def shared_by_gpus(
    env: Env, options: ModelOptions, gpus: int, engine: str | None = None
) -> "Iterator[tuple[ModelOptions, ProcessGroup | None]]":
    """Yield this process's options and its group; the block runs in the leader, or in a process without a group.

    The process that was started by the user launches the others and exits with the leader's exit code; a follower
    renders until the leader ends. Errors: UsageError for heads that cannot be shared, SetupError for a process that
    died.
    """
    from lingbot_cli.render.launcher import end_with_launcher
    from lingbot_cli.render.multi_gpu import ProcessGroup, exit_follower
    from lingbot_cli.ui.signals import ignoring_signals

    group = ProcessGroup.of(env.environ)
    if engine is not None and (gpus > 1 or group is not None):
        raise UsageError("--engine cannot be used with --gpus", hint="the server chooses its GPUs")
    if group is None:
        if gpus > 1:
            _launch(env, options, gpus)
        yield options, None
        return
    end_with_launcher(env.environ)
    options = replace(options, device=group.device(options.device))
    if not group.is_leader:
        from lingbot_cli.render.group_model import follow_sessions

        with ignoring_signals():
            follow_sessions(group, options)
        exit_follower()
    try:
        yield options, group
    finally:
        group.disconnect()


def _launch(env: Env, options: ModelOptions, gpus: int) -> None:
    from lingbot_cli.presets import check_heads
    from lingbot_cli.render.launcher import launch_processes
    from lingbot_cli.runtime.fast_mode import resolve_model

    check_heads(resolve_model(options)[1].preset.heads, gpus)
    warn = partial(env.err.print, markup=False, soft_wrap=True)
    raise typer.Exit(launch_processes(env.argv, gpus, env.environ, warn))
