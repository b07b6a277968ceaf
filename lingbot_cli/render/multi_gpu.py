"""Several processes that make one film: which one this is, and what the leader decides for all."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn, TypeVar, cast

from lingbot_cli.errors import UsageError
from lingbot_cli.render.chunk_plan import ChunkTask
from lingbot_cli.render.pipeline import StartSession, denoise_chunks

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """One of `size` processes, on its machine's device number `local`; rank 0 leads and writes the film."""

    rank: int
    size: int
    local: int

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "ProcessGroup | None":
        """What torchrun (or `--gpus`) says in the environment; None for a process of its own."""
        try:
            size = int(environ.get("WORLD_SIZE", "1"))
            rank, local = int(environ.get("RANK", "0")), int(environ.get("LOCAL_RANK", "0"))
        except ValueError as wrong:
            raise UsageError(f"WORLD_SIZE, RANK and LOCAL_RANK must be numbers: {wrong}") from wrong
        return cls(rank, size, local) if size > 1 else None

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def device(self, asked: str | None) -> str | None:
        """The device of this process: its own GPU, or what was asked for."""
        import torch

        if asked in (None, "cuda") and torch.cuda.is_available():
            return f"cuda:{self.local}"
        return asked

    def meet(self, device: str | None) -> None:
        """Wait for the others, this process on its device."""
        import torch
        import torch.distributed as dist

        from lingbot_cli.model.device import pick_device

        where = pick_device(device)
        if where.type == "cuda":
            torch.cuda.set_device(where)
        dist.init_process_group("cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo")

    def told(self, choose: Callable[[], T]) -> T:
        """What the leader alone chooses, for everyone: measured twice it might come out twice."""
        import torch
        import torch.distributed as dist

        chosen = [choose() if self.leads else None]
        dist.broadcast_object_list(chosen, 0, device=torch.device("cpu"))
        return cast(T, chosen[0])

    def join(self, world: "WorldModel") -> "WorldModel":
        """Take this process's part, once all have met; UsageError for heads that do not split."""
        from lingbot_cli.model.sequence_parallel import Ulysses

        return replace(world, parallel=Ulysses(world.preset.heads))

    def agreed(self, stopped: Callable[[], bool]) -> Callable[[], bool]:
        """The leader's answer for everyone, asked once a chunk, so that all end after the same one."""
        import torch
        import torch.distributed as dist

        def decide() -> bool:
            answer = torch.tensor([self.leads and stopped()])
            dist.broadcast(answer, 0)
            return bool(answer.item())

        return decide

    def follow(self, steps: Iterable[ChunkTask], begin: StartSession) -> None:
        """Do this process's share of every chunk until the leader ends; nothing is decoded or written."""
        for _ in denoise_chunks(steps, begin, self.agreed(lambda: False)):
            pass
        self.part()

    def part(self) -> None:
        """Take leave of the others: what still listens for them must not outlive the interpreter."""
        import torch.distributed as dist

        dist.destroy_process_group()


def exit_follower() -> NoReturn:
    """End a follower's process at once: it holds nothing, and gloo's threads now and then abort an orderly end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def check_multi_gpu(timeline: str | None, *, resuming: bool) -> None:
    """Refuse what several processes cannot do together."""
    if timeline == "-":
        raise UsageError(
            "several devices cannot share a timeline from standard input", hint="write it to a file"
        )
    if resuming:
        raise UsageError(
            "a film is resumed on one device", hint="leave --gpus out; the film goes on the same"
        )
