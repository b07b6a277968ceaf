"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lingbot_cli.errors import UsageError
from lingbot_cli.presets import PRESETS, Preset
from lingbot_cli.timeline.times import Time, parse_time


def preset_of(name: str) -> Preset:
    """The preset of a name; UsageError when there is none."""
    if name not in PRESETS:
        raise UsageError(f"there is no preset '{name}'", hint=f"use one of {', '.join(PRESETS)}")
    return PRESETS[name]


def names_file(text: str) -> bool:
    """Whether an argument is a timeline file or standard input, and not moves such as w-10,iw-15."""
    return text == "-" or Path(text).suffix in (".yaml", ".yml", ".jsonl") or Path(text).exists()


def _file(text: str) -> str:
    if not Path(text).is_file():
        raise typer.BadParameter(f"there is no file {text}")
    return text


def _time(text: str) -> Time:
    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


PresetName = Annotated[
    str, typer.Option("--preset", help="The model whose chunks count.", autocompletion=lambda: list(PRESETS))
]
AllowOutside = Annotated[
    bool, typer.Option("--allow-outside", help="Let the timeline name files outside its folder.")
]
Duration = Annotated[
    Time | None,
    typer.Option("--duration", parser=_time, metavar="TIME", help="The film's length; wins over the header."),
]
Fps = Annotated[
    int | None, typer.Option("--fps", min=1, max=120, help="Frames a second; wins over the header.")
]
TimelineOrMoves = Annotated[
    str,
    typer.Argument(metavar="FILE", help="A timeline, - for JSONL on standard input, or moves (w-10,iw-15)."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")]
ModelName = Annotated[
    str | None, typer.Option("--model", help="A model's folder or name; else the built-in one.")
]
Assets = Annotated[Path | None, typer.Option("--assets", help="Where a model's text encoder and VAE lie.")]
Device = Annotated[
    str | None, typer.Option("--device", help="Such as cpu or cuda:1; else the best there is.")
]
Precision = Annotated[
    Literal["float32", "bfloat16", "float16", "fp8"] | None,
    typer.Option("--precision", help="What the world computes in; fp8 keeps its weights in eight bits."),
]
Window = Annotated[int | None, typer.Option("--window", help="Latent frames remembered; -1 for all.")]
Fast = Annotated[
    bool,
    typer.Option("--fast", help="Trade exactness for speed: fp8 linears and int8 attention where they help "
                 "here, and a smaller window."),
]  # fmt: skip
Linears = Annotated[
    Literal["exact", "fp8"] | None,
    typer.Option("--linears", help="What the blocks' matrices are multiplied in."),
]
AttentionIn = Annotated[
    Literal["exact", "int8"] | None,
    typer.Option("--attention", help="int8: by sageattention's kernels, where that package and a GPU are."),
]
TinyDecoder = Annotated[
    str | None,
    typer.Option(
        "--tiny-decoder", parser=_file, metavar="FILE", help="A taew2_1 file: rough pictures, sooner."
    ),
]
Decode = Annotated[
    Literal["float32", "bfloat16", "float16"] | None,
    typer.Option("--decode", help="What pictures are decoded in."),
]
TextOn = Annotated[str | None, typer.Option("--text-on", help="Where prompts are read: cpu, or a device.")]
Offload = Annotated[
    bool, typer.Option("--offload", help="Keep the transformer in main memory and stream it.")
]
DecodeOn = Annotated[
    str | None,
    typer.Option("--decode-on", help="A device of its own for the decoder, such as cuda:1 or cpu."),
]
Kernel = Annotated[
    str | None,
    typer.Option(
        "--kernel", help="The program of self-attention, as `doctor` lists them; else the fastest here."
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option("--compile/--no-compile", help="Compile the blocks first; the default on GPUs that can."),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, max=1024, help="CPU threads; else OMP_NUM_THREADS, else what is fastest here."
    ),
]
