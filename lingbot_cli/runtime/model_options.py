"""Options of the model: which one, where it runs, and the run settings that replace its preset's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from lingbot_cli.checkpoints.checkpoint import (
    Checkpoint,
    Difference,
    fingerprint,
    read_checkpoint,
    with_loras,
)
from lingbot_cli.checkpoints.registry import find_decoder
from lingbot_cli.errors import UsageError
from lingbot_cli.presets import Preset, check_window

LAST_STEP = 1000
"""The schedule has 1001 points."""
_LOCATION = ("model", "assets", "device", "precision")
_PRESET = ("chunk", "window", "sink", "shift", "steps")


@dataclass(frozen=True)
class ModelOptions:
    """One field per flag; None leaves a choice to the preset, the device or the fastest there is.

    `model`: name or folder; `assets`: folder of its text encoder and VAE; `preset`: name of its run settings where
    its own configs do not decide; `text_encoder`: a file in place of the model's own; `lora`: LoRAs to merge, each
    FILE[:STRENGTH]. `precision` of the transformer, `encode` and `decode` of the VAE. `chunk` to `steps` replace
    those of the preset. `text_on` and `decode_on`: devices of the text encoder and the decoder; `offload` streams the
    transformer from main memory.
    `kernel`: name of the self-attention backend; `vae_format`: memory format of the VAE. `threads` of the CPU.
    `linears`, `attention`, `decoder` (a file or a name), `fast_steps` (the number of denoising steps) and `commit`
    (last-step: without a pass over the clean latents) trade exactness for speed, `kv_cache` for memory; `fast`
    asks for those of speed that help on this device, and `notes`, which is no flag, names them.
    """

    model: str | None = None
    assets: Path | None = None
    preset: str | None = None
    text_encoder: Path | None = None
    lora: tuple[str, ...] = ()
    device: str | None = None
    precision: str | None = None
    chunk: int | None = None
    window: int | None = None
    sink: int | None = None
    shift: float | None = None
    steps: tuple[int, ...] | None = None
    encode: str | None = None
    decode: str | None = None
    text_on: str | None = None
    offload: bool = False
    decode_on: str | None = None
    kernel: str | None = None
    vae_format: str | None = None
    compile: bool | None = None
    threads: int | None = None
    linears: str | None = None
    attention: str | None = None
    kv_cache: str | None = None
    fast_steps: int | None = None
    commit: str | None = None
    decoder: str | None = None
    fast: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "lora", tuple(self.lora))  # a command line gives a list

    def run_settings(self) -> "ModelOptions":
        """Return the options without model, assets, device and precision."""
        return replace(self, **dict.fromkeys(_LOCATION))  # type: ignore[arg-type]

    def speed_options(self) -> dict[str, str]:
        """Return the options in use that trade exactness for speed or memory, as flags without their dashes."""
        options = {
            "linears": self.linears,
            "attention": self.attention,
            "kv-cache": self.kv_cache,
            "fast-steps": None if self.fast_steps is None else str(self.fast_steps),
            "commit": self.commit,
            "decoder": self.decoder,
        }
        return {name: value for name, value in options.items() if value is not None}

    def flags(self) -> dict[str, Any]:
        """Return the run settings that were given, as flags without their dashes."""
        names = [field.name for field in fields(self) if field.name not in (*_LOCATION, "notes")]
        given = {name.replace("_", "-"): getattr(self, name) for name in names}
        if self.steps is not None:
            given["steps"] = ",".join(map(str, self.steps))
        given["lora"] = list(self.lora)
        given = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
        return {
            name: value for name, value in given.items() if value not in (None, []) and value is not False
        }


def flag_words(flags: Mapping[str, Any]) -> list[str]:
    """Return flags as words of a command line; a list repeats its flag."""
    words: list[str] = []
    for name, value in flags.items():
        for each in value if isinstance(value, list) else [value]:
            words += [f"--{name}"] if each is True else [f"--{name}", str(each)]
    return words


def read_model(options: ModelOptions) -> Checkpoint:
    """Return the checkpoint that the options name. Errors: those of `read_checkpoint`."""
    return read_checkpoint(options.model, options.assets, options.preset, options.text_encoder)


def parse_steps(text: str | None) -> tuple[int, ...] | None:
    """Return schedule indices such as 0,250,500,750. Errors: UsageError."""
    if text is None:
        return None
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError as wrong:
        raise UsageError(f"--steps {text}: not a list of indices", hint="write 0,250,500,750") from wrong
    if list(steps) != sorted(set(steps)) or steps[0] < 0 or steps[-1] >= LAST_STEP:
        raise UsageError(f"--steps {text}: indices must rise, from 0 to at most {LAST_STEP - 1}")
    return steps


def pick_precision(fp8: bool, device: str, asked: str | None) -> str:
    """Return the transformer's precision on a device; `fp8`: the checkpoint's weights have eight bits.

    Errors: UsageError for more bits than the weights have.
    """
    if fp8:
        if asked not in (None, "fp8"):
            raise UsageError(f"--precision {asked}: the model's weights are fp8", hint="leave it out")
        return "fp8"
    return asked or ("bfloat16" if device.startswith("cuda") else "float32")


def pick_decoder_precision(device: str, decode_on: str | None, asked: str | None) -> str:
    """Return the decoder's precision on its own device; half precision is slow on a CPU."""
    return asked or ("float16" if (decode_on or device).startswith("cuda") else "float32")


def apply_options(checkpoint: Checkpoint, options: ModelOptions) -> Checkpoint:
    """Return the checkpoint as it will run, each replaced value among its differences. Errors: UsageError."""
    if checkpoint.packing is not None and "fp8" in (options.precision, options.linears):
        flag = "--precision" if options.precision == "fp8" else "--linears"
        raise UsageError(
            f"{flag} fp8: the model's weights are packed as {checkpoint.packing}", hint="leave it out"
        )
    checkpoint = with_loras(checkpoint, options.lora)
    if options.decoder is not None:
        folders = [folder for folder in (options.assets, checkpoint.layout.root) if folder is not None]
        decoder = find_decoder(options.decoder, folders)
        checkpoint = replace(checkpoint, decoder=decoder, decoder_identity=fingerprint([decoder]))
    given = {name: getattr(options, name) for name in _PRESET if getattr(options, name) is not None}
    if options.fast_steps is not None:
        if options.steps is not None:
            raise UsageError(
                "--fast-steps cannot be used with --steps", hint="name the steps by --steps alone"
            )
        given["steps"] = fewer_steps(checkpoint.preset.steps, options.fast_steps)
    preset = replace(checkpoint.preset, **given)
    if preset.chunk < 1 or preset.sink < 0 or preset.shift <= 0:
        raise UsageError(
            f"chunk {preset.chunk}, sink {preset.sink}, shift {preset.shift}: out of range",
            hint="chunk and shift are positive, sink is not negative",
        )
    if given:
        check_window(preset.window, preset.sink, preset.chunk)
    flags = {} if options.fast_steps is None else {"steps": "fast-steps"}
    replaced = tuple(
        Difference(name, getattr(checkpoint.preset, name), value, value, source=f"--{flags.get(name, name)}")
        for name, value in given.items()
        if getattr(checkpoint.preset, name) != value
    )
    others = tuple(difference for difference in checkpoint.differences if difference.name not in given)
    return replace(checkpoint, preset=preset, differences=others + replaced)


def fewer_steps(steps: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return `count` of a schedule's indices, evenly apart from the first on; all of them if there are fewer."""
    return (
        tuple(steps[len(steps) * index // count] for index in range(count)) if count < len(steps) else steps
    )


def describe_run(preset: Preset, differences: Sequence[Difference], options: ModelOptions) -> list[str]:
    """Return a line of run settings and speed options, then one per difference from the preset and per note."""
    run = [
        f"chunk {preset.chunk}",
        f"window {preset.window}",
        f"sink {preset.sink}",
        f"steps {','.join(map(str, preset.steps))}",
        f"shift {preset.shift:g}",
        *(f"{name.replace('-', ' ')} {value}" for name, value in options.speed_options().items()),
        *(f"lora {text}" for text in options.lora),
    ]
    return [" · ".join(run), *map(str, differences), *options.notes]
