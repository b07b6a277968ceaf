"""Flags of the fields of ModelOptions, in the panels Model and Speed, and `--gpus`: one process a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lingbot_cli.checkpoints.registry import DECODERS
from lingbot_cli.cli.app import Flags, option
from lingbot_cli.cli.options import Fast, model_names
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.presets import PRESETS, check_heads
from lingbot_cli.runtime.model_options import ModelOptions, parse_steps

if TYPE_CHECKING:
    from lingbot_cli.render.multi_gpu import ProcessGroup

DEVICES = ("cpu", "cuda", "cuda:1", "mps", "xpu")
BY_MODEL = "the model's"


def as_tuple(texts: list[str] | None) -> tuple[str, ...]:
    """Return the values of a repeated option."""
    return tuple(texts or ())


def _model(kind: Any, help: str, **how: Any) -> Any:
    return Annotated[kind, option(help, panel="Model", **how)]


def _speed(kind: Any, help: str, **how: Any) -> Any:
    return Annotated[kind, option(help, panel="Speed", **how)]


_name: dict[str, Any] = {"metavar": "NAME"}
_type: dict[str, Any] = {"metavar": "TYPE"}
_device: dict[str, Any] = {"metavar": "DEVICE", "autocompletion": lambda: [*DEVICES]}

MODEL: Flags = {
    "model": _model(
        str | None, "Model by its name, or by its folder.",
        default="built-in", autocompletion=model_names, **_name
    ),
    "assets": _model(
        Path | None, "Folder of the text encoder and VAE that a model lacks.",
        rare=True, metavar="FOLDER"
    ),
    "preset": _model(
        str | None, "Preset of run settings, where the model's own configs do not decide.",
        default=BY_MODEL, rare=True, autocompletion=lambda: [*PRESETS], **_name
    ),
    "text_encoder": _model(
        Path | None, "Text encoder in place of the model's own.", rare=True, metavar="FILE"
    ),
    "lora": _model(
        list[str] | None, "LoRA to merge into the weights, with its strength; may be repeated.",
        default="none", rare=True, metavar="FILE[:STRENGTH]", callback=as_tuple
    ),
    "device": _model(
        str | None, "Such as cpu, cuda, cuda:1 or mps.", default="the fastest here", **_device
    ),
    "precision": _model(
        Literal["float32", "bfloat16", "float16", "fp8"] | None,
        "Precision of the transformer: float32, bfloat16, float16, or fp8 for weights in 8 bits.",
        default="bfloat16 on a GPU, else float32", **_type
    ),
}  # fmt: skip

SPEED: Flags = {
    "fast": Fast,
    "window": _speed(
        int | None, "Attention window in latent frames; -1 for no limit.", default=BY_MODEL
    ),
    "linears": _speed(
        Literal["exact", "fp8"] | None, "Precision of the blocks' matrix products.",
        default="exact"
    ),
    "attention": _speed(
        Literal["exact", "int8"] | None,
        "Precision of attention; int8 needs a GPU and the package sageattention.", default="exact"
    ),
    "kv_cache": _speed(
        Literal["exact", "int8", "fp8"] | None,
        "Precision of the KV cache; 8 bits take half the memory.", default="exact"
    ),
    "fast_steps": _speed(
        int | None, "Denoising steps per chunk, of those of the scheduler: 2 or 1 for speed.",
        default="all", min=1, max=2
    ),
    "commit": _speed(
        Literal["exact", "last-step"] | None,
        "Keys and values that later chunks see: of the clean latents, or of the last step, which saves a pass.",
        default="exact"
    ),
    "decoder": _speed(
        str | None, "Smaller decoder: taew2_1, lighttaew2_1, lightvae or a file of one.",
        default=BY_MODEL, metavar="NAME", autocompletion=lambda: [*DECODERS]
    ),
    "kernel": _speed(
        str | None, "Attention backend, as listed by `lingbot doctor`.",
        default="the fastest here", **_name
    ),
    "vae_format": _speed(
        Literal["contiguous", "channels-last"] | None, "Memory format of the VAE on GPUs.",
        default="the faster here", rare=True
    ),
    "compile": _speed(
        bool | None, "Compile the blocks; the default on most GPUs.", names="--compile/--no-compile"
    ),
    "threads": _speed(
        int | None, "CPU threads.",
        default="OMP_NUM_THREADS, else the fastest number", min=1, max=1024
    ),
}  # fmt: skip

PLACEMENT: Flags = {
    "encode": _speed(
        Literal["float32", "tf32"] | None, "Precision of the encoder: float32, or tf32 on CUDA.",
        default="tf32 on CUDA, else float32", rare=True, **_type
    ),
    "decode": _speed(
        Literal["float32", "bfloat16", "float16"] | None, "Precision of the decoder: float32, bfloat16 or float16.",
        default="float16 on CUDA, else float32", rare=True, **_type
    ),
    "decode_on": _speed(str | None, "Device of the decoder.", default=BY_MODEL, rare=True, **_device),
    "text_on": _speed(str | None, "Device of the text encoder.", default="cpu", rare=True, **_device),
    "offload": _speed(
        bool, "Keep the transformer in main memory and stream it to the device.", rare=True
    ),
}  # fmt: skip

SAMPLING: Flags = {
    "chunk": _model(int | None, "Latent frames per chunk.", default=BY_MODEL, rare=True),
    "sink": _model(
        int | None, "Attention-sink size in latent frames, kept for the whole video.",
        default=BY_MODEL, rare=True
    ),
    "shift": _model(float | None, "Flow shift of the scheduler.", default=BY_MODEL, rare=True),
    "steps": _model(
        Any, "Denoising steps of the scheduler, such as 0,250,500,750.",
        default=BY_MODEL, rare=True, parser=parse_steps, metavar="INDICES"
    ),
}  # fmt: skip

BENCH_FLAGS: Flags = {**MODEL, **SPEED}
MODEL_FLAGS: Flags = {**BENCH_FLAGS, **PLACEMENT}
RENDER_FLAGS: Flags = {**MODEL_FLAGS, **SAMPLING}
Gpus = Annotated[int, option("GPUs of this machine that render each chunk together.", panel="Speed", min=1)]


@contextmanager
def shared_by_gpus(
    env: Env, options: ModelOptions, gpus: int, engine: str | None = None
) -> "Iterator[tuple[ModelOptions, ProcessGroup | None]]":
    """Yield this process's options and its group; the block runs in the leader, or in a process without a group.

    The process that was started by the user launches the others and exits with the leader's exit code; a follower
    renders until the leader ends. Errors: UsageError for heads that cannot be shared, SetupError for a process that
    died.
    """
    from lingbot_cli.render.launcher import end_with_launcher, launch_processes
    from lingbot_cli.render.multi_gpu import ProcessGroup, exit_follower, follow_sessions
    from lingbot_cli.runtime.fast_mode import resolve_model
    from lingbot_cli.ui.signals import ignoring_signals

    group = ProcessGroup.of(env.environ)
    if engine is not None and (gpus > 1 or group is not None):
        raise UsageError("--engine cannot be used with --gpus", hint="the server chooses its GPUs")
    if group is None:
        if gpus > 1:
            # Each process selects for itself; a measurement here would hold memory of the first GPU to the end.
            check_heads(resolve_model(replace(options, fast=False))[1].preset.heads, gpus)
            raise typer.Exit(launch_processes(env.argv, gpus, env.environ, env.note))
        yield options, None
        return
    end_with_launcher(env.environ)
    options = replace(options, device=group.device(options.device))
    if not group.is_leader:
        with ignoring_signals():
            follow_sessions(group, group.resolve_fast(options, idle=True))
        exit_follower()
    try:
        yield group.resolve_fast(options, idle=True), group
    finally:
        group.disconnect()
