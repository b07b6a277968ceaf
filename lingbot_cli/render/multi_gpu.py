"""Process group of a render on several GPUs: rank 0 leads, decodes and writes; the others denoise their share."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, TypeVar, cast

from lingbot_cli.errors import UsageError
from lingbot_cli.files import is_descriptor
from lingbot_cli.render.chunk_plan import ChunkTask
from lingbot_cli.render.pipeline import StartSession, denoise_chunks
from lingbot_cli.runtime.fast_mode import resolve_model
from lingbot_cli.runtime.load_model import load_tuned
from lingbot_cli.runtime.model_options import ModelOptions

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """This process as one of `size`, on device number `local_rank` of its machine."""

    rank: int
    size: int
    local_rank: int

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "ProcessGroup | None":
        """Return the group that torchrun or `--gpus` set in the environment; None for a single process."""
        try:
            size = int(environ.get("WORLD_SIZE", "1"))
            rank, local = int(environ.get("RANK", "0")), int(environ.get("LOCAL_RANK", "0"))
        except ValueError as wrong:
            raise UsageError(f"WORLD_SIZE, RANK and LOCAL_RANK must be numbers: {wrong}") from wrong
        return cls(rank, size, local) if size > 1 else None

    @property
    def is_leader(self) -> bool:
        return self.rank == 0

    def device(self, asked: str | None) -> str | None:
        """Return this process's GPU, or the device asked for."""
        return _torch_group().device_of_rank(asked, self.local_rank)

    def connect(self, device: str | None, *, idle: bool = False) -> None:
        """Wait for the other processes; an `idle` group may wait for its users between messages."""
        _torch_group().connect(device, idle=idle)

    def broadcast(self, choose: Callable[[], T]) -> T:
        """Return the leader's choice to every process; only the leader calls `choose`, which may measure."""
        return cast(T, _torch_group().broadcast_object(choose() if self.is_leader else None))

    def resolve_fast(self, options: ModelOptions, *, idle: bool = False) -> ModelOptions:
        """Return the options with `--fast` replaced by what the leader selects; `idle` as in `connect`."""
        if not options.fast:
            return options
        self.connect(options.device, idle=idle)
        selected = self.broadcast(lambda: resolve_model(options)[0])
        return replace(selected, device=options.device)

    def shard(self, model: "WorldModel") -> "WorldModel":
        """Return the model with sequence-parallel attention, once connected. Errors: UsageError for its heads."""
        from lingbot_cli.model.sequence_parallel import Ulysses

        return replace(model, parallel=Ulysses(model.preset.heads))

    def lead(self, model: "WorldModel") -> "WorldModel":
        """Return the leader's model, whose sessions the followers share."""
        from lingbot_cli.model.group_session import lead

        return lead(model)

    def shared_stop(self, stopped: Callable[[], bool]) -> Callable[[], bool]:
        """Return the leader's `stopped` for every process; call it once per chunk, so that all end after the same."""
        return lambda: _torch_group().broadcast_flag(self.is_leader and stopped())

    def follow(self, tasks: Iterable[ChunkTask], start_session: StartSession) -> None:
        """Denoise this process's share of every chunk until the leader ends; nothing is decoded or written."""
        for _ in denoise_chunks(tasks, start_session, self.shared_stop(lambda: False)):
            pass
        self.disconnect()

    def disconnect(self) -> None:
        """Leave the group: its threads must not outlive the interpreter."""
        _torch_group().disconnect()


def _torch_group() -> ModuleType:
    """Return the process group of torch, imported only now."""
    from lingbot_cli.model import process_group

    return process_group


def follow_sessions(group: ProcessGroup, options: ModelOptions) -> None:
    """Load a follower's share of the model and render with the leader until it stops."""
    from lingbot_cli.model.group_session import follow

    options, checkpoint = resolve_model(options)
    size = 0, 0  # the leader's counts
    silent: Callable[[str], None] = lambda _: None  # noqa: E731 - the leader prints the messages
    follow(load_tuned(checkpoint, options, (), *size, note=silent, warn=silent, group=group))


def exit_follower() -> NoReturn:
    """End a follower's process at once: it holds nothing, and gloo's threads sometimes abort an orderly exit."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def check_multi_gpu(timeline: str | None, *, resuming: bool) -> None:
    """Refuse options that several processes cannot share."""
    if timeline is not None and (
        timeline == "-" or Path(timeline).is_fifo() or is_descriptor(Path(timeline))
    ):
        raise UsageError(
            f"--timeline {timeline}: several devices cannot share standard input or a pipe",
            hint="write the timeline to a file",
        )
    if resuming:
        raise UsageError("--resume runs on one device only", hint="leave out --gpus; the video is the same")
