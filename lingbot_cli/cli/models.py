"""`lingbot models`: list, download, verify, convert and remove models."""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Column, Table

from lingbot_cli.checkpoints.cache_dir import model_folder
from lingbot_cli.checkpoints.checkpoint import (
    Checkpoint,
    absent_checkpoint,
    is_absent,
    part_files,
    read_checkpoint,
    with_loras,
)
from lingbot_cli.checkpoints.download import (
    DownloadProgress,
    check_installed_revision,
    download_decoder,
    download_model,
    verify_checkpoint,
)
from lingbot_cli.checkpoints.hub import listed_bytes
from lingbot_cli.checkpoints.registry import DECODERS, PUBLISHED, PublishedModel
from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.options import PrintJson, model_names
from lingbot_cli.console import print_json
from lingbot_cli.env import Env
from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.presets import PRESETS
from lingbot_cli.runtime.hardware import default_setup
from lingbot_cli.runtime.installed import ModelStatus, model_statuses, remove_model
from lingbot_cli.runtime.memory import estimate_memory, gigabytes
from lingbot_cli.runtime.memory_check import SIZES, CardFit, fit_cards
from lingbot_cli.runtime.model_options import ModelOptions

MAX_CARD_GB = 1024

app = App(no_args_is_help=True)


def parse_cards(text: str) -> list[int]:
    """Return gigabytes such as 24 or 8,12,16. Errors: BadParameter."""
    parts = text.split(",")
    if not all(part.isdecimal() and 1 <= int(part) <= MAX_CARD_GB for part in parts):
        raise typer.BadParameter(f"{text[:40]} is no list of gigabytes; write 24 or 8,12,16")
    return [int(part) for part in parts]


ModelArgument = Annotated[
    str, typer.Argument(help="A model by its name, or by its folder.", autocompletion=model_names)
]
AssetsOption = Annotated[
    Path | None, option("Folder of the VAE, text encoder and tokenizer that a model lacks.", metavar="FOLDER")
]
PresetOption = Annotated[
    str | None,
    option(
        "Preset of run settings, where the model's own configs do not decide.",
        metavar="NAME",
        autocompletion=lambda: [*PRESETS],
    ),
]
TextEncoderOption = Annotated[
    Path | None, option("Text encoder in place of the model's own.", metavar="FILE")
]
LoraOption = Annotated[
    list[str] | None, option("LoRA to merge, with its strength; may be repeated.", metavar="FILE[:STRENGTH]")
]


@app.callback()
def models() -> None:
    """List, download, verify, convert and remove models.

    Example: lingbot models list
    """


@app.command("list")
def list_models(ctx: typer.Context, as_json: PrintJson = False) -> None:
    """List known models: installed or not, size, memory, fit and licence.

    Example: lingbot models list
    """
    env: Env = ctx.obj
    models = model_statuses(env.environ, listed_bytes)
    _print_rows(env, ("model", "installed", "size", "memory", "fits"), models, as_json=as_json)
    if as_json:
        return
    env.print("\nmemory: peak on this machine for a video of the model's own size")
    for model in models:
        env.print(f"{model.name}: {model.licence}")


@app.command("pull")
def pull_model(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="The model or decoder to download.", autocompletion=lambda: [*PUBLISHED, *DECODERS]
        ),
    ],
    accept_license: Annotated[bool, option("Accept the licence, which you have read.")] = False,
    revision: Annotated[str | None, option("Commit of the model's repository.", metavar="COMMIT")] = None,
) -> None:
    """Download a model or a smaller decoder; an interrupted download continues.

    Example: lingbot models pull lingbot-world-v2-1.3b-causal-fast --accept-license
    """
    env: Env = ctx.obj
    if name in DECODERS:
        if revision is not None:
            raise UsageError(
                f"--revision cannot be used with {name}: of a decoder the newest version is downloaded",
                hint="leave it out",
            )
        env.err.print(f"downloaded: {download_decoder(name)}", markup=False)
        return
    model = _published(name)
    if model_folder(name, env.environ).is_dir():
        if revision is not None:
            check_installed_revision(model, revision)
        env.err.print(f"{name} is installed: {model_folder(name, env.environ)}")
        return
    env.note(f"{name}, about {gigabytes(listed_bytes(model) or model.bytes)}. Licence: {model.terms}")
    if not accept_license and not (env.stdin.isatty() and typer.confirm("Do you accept it?")):
        raise UsageError("the licence was not accepted", hint="read it, then use --accept-license")
    last = -1.0

    def report(fetching: DownloadProgress) -> None:
        nonlocal last
        if fetching.seconds - last < 1 and fetching.done < fetching.total:
            return
        last = fetching.seconds
        env.err.print(
            f"{gigabytes(fetching.done)} of {gigabytes(fetching.total)}, {fetching.seconds:.0f} s: {fetching.file}"
        )

    env.err.print(f"downloaded: {download_model(model, report, revision)}")


@app.command()
def show(
    ctx: typer.Context,
    model: ModelArgument,
    assets: AssetsOption = None,
    preset: PresetOption = None,
    vram: Annotated[
        Any,
        option(
            "Show the options with which it fits graphics cards of this memory, such as 24 or 8,12,16.",
            metavar="GB",
            parser=parse_cards,
        ),
    ] = None,
    as_json: PrintJson = False,
) -> None:
    """Show a model: layout, settings, differences from its preset, files and memory.

    Example: lingbot models show built-in
    """
    env: Env = ctx.obj
    if is_absent(model, env.environ) and model in PUBLISHED:
        checkpoint = absent_checkpoint(model)
        facts = _available(
            next(known for known in model_statuses(env.environ, listed_bytes) if known.name == model)
        )
    else:
        checkpoint = read_checkpoint(model, assets, preset)
        facts = _describe(checkpoint)
    if vram is not None:
        _show_cards(env, checkpoint, vram, as_json=as_json)
        return
    if as_json:
        print_json(env.out, facts, indent=2)
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(
                f"{name} {_text(name, item)}" for name, item in value.items() if item is not None
            )
        label = "size" if key == "bytes" else key.replace("_", " ")
        env.print(f"{label}: {_text(key, value)}")


def _show_cards(env: Env, checkpoint: Checkpoint, cards_gb: list[int], *, as_json: bool) -> None:
    from lingbot_cli.render.preflight import model_setup

    setups = [
        model_setup(checkpoint, ModelOptions(), height, width, "cuda", latents=0) for height, width in SIZES
    ]
    fits = fit_cards(checkpoint.preset, setups, cards_gb)
    _print_rows(env, ("card", "size", "options", "on it", "RAM"), fits, as_json=as_json)


@app.command("verify")
def verify_model(
    ctx: typer.Context, model: ModelArgument, assets: AssetsOption = None, preset: PresetOption = None
) -> None:
    """Check the files against the publisher's hashes, and every tensor's name, shape and values.

    Example: lingbot models verify lingbot-world-v2-14b-causal-fast
    """
    env: Env = ctx.obj
    from lingbot_cli.model.loading.loader import check_finite, check_tensors  # torch

    if preset is None and model in PRESETS and not Path(os.path.expanduser(model)).is_dir():
        preset = model
    folder = read_checkpoint(model, assets, preset).layout.root
    checkpoint, count = verify_checkpoint(folder, assets, lambda _: None, preset)
    check_tensors(checkpoint)
    check_finite(checkpoint)
    hashes = (
        f"{count} files have their publisher's content" if count else "no publisher's hashes are known here"
    )
    env.print(f"{folder}: {hashes}; every tensor has its place and is finite")


@app.command()
def convert(
    ctx: typer.Context,
    model: ModelArgument,
    folder: Annotated[Path, typer.Argument(help="Folder to write.")],
    precision: Annotated[
        Literal["bfloat16", "float16", "float32", "fp8", "gguf-q8", "gguf-q4"],
        option(
            "Type of the weights: bfloat16, float16, float32, fp8, gguf-q8 or gguf-q4.",
            names="--to",
            metavar="TYPE",
        ),
    ] = "bfloat16",
    assets: AssetsOption = None,
    preset: PresetOption = None,
    text_encoder: TextEncoderOption = None,
    lora: LoraOption = None,
) -> None:
    """Convert a model to one folder of lingbot's layout, which loads without conversion.

    Example: lingbot models convert lingbot-world-v2-14b-causal-fast 14b-fp8 --to fp8
    """
    env: Env = ctx.obj
    from lingbot_cli.model.loading.convert import convert as convert_world  # torch

    checkpoint = with_loras(read_checkpoint(model, assets, preset, text_encoder), tuple(lora or ()))
    convert_world(checkpoint, folder, precision, lambda done: env.note(f"written: {done}"))
    env.print(f"{folder}")


@app.command()
def rm(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="An installed model.", autocompletion=model_names)],
    yes: Annotated[bool, option("Remove without a question.", names="-y --yes")] = False,
) -> None:
    """Remove a downloaded model and what an interrupted download left.

    Example: lingbot models rm lingbot-world-fast --yes
    """
    env: Env = ctx.obj
    _published(name)
    if not yes and not (env.stdin.isatty() and typer.confirm(f"Remove {name}?")):
        raise UsageError(f"{name} was not removed", hint="use --yes to remove it without a question")
    freed = remove_model(name, env.environ)
    if freed is None:
        raise SetupError(f"{name} is not installed")
    env.out.print(f"removed {name}: {gigabytes(freed)}")


def _published(name: str) -> PublishedModel:
    if name not in PUBLISHED:
        raise UsageError(f"no such model to download: {name}", hint=f"use one of {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def _print_rows(
    env: Env, headings: Sequence[str], rows: Sequence[ModelStatus | CardFit], *, as_json: bool
) -> None:
    if as_json:
        print_json(env.out, [asdict(row) for row in rows], indent=2)
        return
    table = Table(*(Column(heading, no_wrap=True) for heading in headings), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.row())
    env.out.print(table)


def _text(key: str, value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return gigabytes(value) if key in ("bytes", "peak") else str(value)


def _available(model: ModelStatus) -> dict[str, object]:
    return {
        "model": model.name,
        "installed": False,
        "bytes": model.bytes,
        "memory": {"peak": model.memory},
        "licence": model.licence,
        "preset": asdict(PRESETS[model.name]),
        "download": f"lingbot models pull {model.name}",
    }


def _describe(checkpoint: Checkpoint) -> dict[str, object]:
    layout, preset = checkpoint.layout, checkpoint.preset
    setup = replace(
        default_setup(preset), block_bytes=checkpoint.block_bytes, text_bytes=checkpoint.text_bytes
    )
    return {
        "folder": str(layout.root),
        "layout": layout.kind,
        "trained": checkpoint.trained,
        "identity": checkpoint.identity,
        "stored_as": checkpoint.stored,
        "preset": asdict(preset),
        "preset_from": checkpoint.preset_source,
        "differences": [str(difference) for difference in checkpoint.differences],
        "installed": True,
        "files": {part.replace(" ", "_"): str(place) for part, place in layout.parts.items()},
        "bytes": sum(file.stat().st_size for part in layout.parts.values() for file in part_files(part)),
        "memory": {
            "size": f"{setup.width}x{setup.height}",
            "device": setup.device,
            "peak": estimate_memory(preset, setup).peak,
        },
    }
