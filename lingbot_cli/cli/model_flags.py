"""Flags of the fields of ModelOptions, in the panels Model and Speed."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lingbot_cli.cli.option_groups import Flags, option
from lingbot_cli.cli.options import Fast, model_names
from lingbot_cli.runtime.model_options import parse_steps

DEVICES = ("cpu", "cuda", "cuda:1", "mps", "xpu")
MODELS_OWN = "the model's"


def existing_file(text: str) -> str:
    """Return a file's name. Errors: BadParameter."""
    if not Path(text).is_file():
        raise typer.BadParameter(f"there is no file {text}")
    return text


def _model(*names: str, **how: Any) -> Any:
    return option(*names, panel="Model", **how)


def _speed(*names: str, **how: Any) -> Any:
    return option(*names, panel="Speed", **how)


def _device(name: str, help: str, default: str) -> Any:
    return _speed(
        name, rare=True, metavar="DEVICE", help=help, show_default=default, autocompletion=lambda: [*DEVICES]
    )


ModelName = Annotated[
    str | None,
    _model(
        "--model",
        metavar="NAME",
        help="Model by its name, or by its folder.",
        show_default="built-in",
        autocompletion=model_names,
    ),
]
Assets = Annotated[
    Path | None,
    _model(
        "--assets", rare=True, metavar="FOLDER", help="Folder of the text encoder and VAE that a model lacks."
    ),
]

MODEL: Flags = {
    "model": ModelName,
    "assets": Assets,
    "device": Annotated[
        str | None,
        _model(
            "--device",
            metavar="DEVICE",
            help="Such as cpu, cuda, cuda:1 or mps.",
            show_default="the fastest here",
            autocompletion=lambda: [*DEVICES],
        ),
    ],
    "precision": Annotated[
        Literal["float32", "bfloat16", "float16", "fp8"] | None,
        _model(
            "--precision",
            metavar="TYPE",
            help="Precision of the transformer: float32, bfloat16, float16, or fp8 for weights in 8 bits.",
            show_default="bfloat16 on a GPU, else float32",
        ),
    ],
}

SPEED: Flags = {
    "fast": Fast,
    "window": Annotated[
        int | None,
        _speed(
            "--window", help="Attention window in latent frames; -1 for no limit.", show_default=MODELS_OWN
        ),
    ],
    "linears": Annotated[
        Literal["exact", "fp8"] | None,
        _speed("--linears", help="Precision of the blocks' matrix products.", show_default="exact"),
    ],
    "attention": Annotated[
        Literal["exact", "int8"] | None,
        _speed(
            "--attention",
            help="Precision of attention; int8 needs a GPU and the package sageattention.",
            show_default="exact",
        ),
    ],
    "tiny_decoder": Annotated[
        str | None,
        _speed(
            "--tiny-decoder",
            parser=existing_file,
            metavar="FILE",
            help="Decode with a taew2_1 file: faster, less detail.",
        ),
    ],
    "kernel": Annotated[
        str | None,
        _speed(
            "--kernel",
            metavar="NAME",
            help="Attention backend, as listed by `lingbot doctor`.",
            show_default="the fastest here",
        ),
    ],
    "compile": Annotated[
        bool | None, _speed("--compile/--no-compile", help="Compile the blocks; the default on most GPUs.")
    ],
    "threads": Annotated[
        int | None,
        _speed(
            "--threads",
            min=1,
            max=1024,
            help="CPU threads.",
            show_default="OMP_NUM_THREADS, else the fastest number",
        ),
    ],
}

PLACEMENT: Flags = {
    "decode": Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        _speed(
            "--decode",
            rare=True,
            metavar="TYPE",
            help="Precision of the decoder: float32, bfloat16 or float16.",
            show_default="float16 on CUDA, else float32",
        ),
    ],
    "decode_on": Annotated[str | None, _device("--decode-on", "Device of the decoder.", "the model's")],
    "text_on": Annotated[str | None, _device("--text-on", "Device of the text encoder.", "cpu")],
    "offload": Annotated[
        bool,
        _speed(
            "--offload", rare=True, help="Keep the transformer in main memory and stream it to the device."
        ),
    ],
}

SAMPLING: Flags = {
    "chunk": Annotated[
        int | None, _model("--chunk", rare=True, help="Latent frames per chunk.", show_default=MODELS_OWN)
    ],
    "sink": Annotated[
        int | None,
        _model(
            "--sink",
            rare=True,
            help="Attention-sink size in latent frames, kept for the whole video.",
            show_default=MODELS_OWN,
        ),
    ],
    "shift": Annotated[
        float | None,
        _model("--shift", rare=True, help="Flow shift of the scheduler.", show_default=MODELS_OWN),
    ],
    "steps": Annotated[
        Any,
        _model(
            "--steps",
            rare=True,
            parser=parse_steps,
            metavar="INDICES",
            help="Denoising steps of the scheduler, such as 0,250,500,750.",
            show_default=MODELS_OWN,
        ),
    ],
}

BENCH_FLAGS: Flags = {**MODEL, **SPEED}
MODEL_FLAGS: Flags = {**BENCH_FLAGS, **PLACEMENT}
RENDER_FLAGS: Flags = {**MODEL_FLAGS, **SAMPLING}
