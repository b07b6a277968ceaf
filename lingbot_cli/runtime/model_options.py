"""Run settings a command line gives in place of a preset's own, and where a model's parts are put."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from lingbot_cli.checkpoints.checkpoint import Checkpoint, Difference
from lingbot_cli.errors import UsageError
from lingbot_cli.presets import Preset

LAST_STEP = 1000
"""The schedule has 1001 points."""


@dataclass(frozen=True)
class Settings:
    """`chunk` to `steps` replace those of the preset; `decode` to `decode_on` say where and in what parts are kept.

    `kernel` names the program of self-attention; None takes the fastest. `compile`: whether blocks are
    compiled; None leaves that to the device. `threads` of the CPU; None takes what is fastest.
    `linears`, `attention` and `tiny_decoder` (a file) trade exactness for speed; `fast` asks for those that help
    here, and `said` tells which they were.
    """

    chunk: int | None = None
    window: int | None = None
    sink: int | None = None
    shift: float | None = None
    steps: tuple[int, ...] | None = None
    decode: str | None = None
    text_on: str | None = None
    offload: bool = False
    decode_on: str | None = None
    kernel: str | None = None
    compile: bool | None = None
    threads: int | None = None
    linears: str | None = None
    attention: str | None = None
    tiny_decoder: str | None = None
    fast: bool = False
    said: tuple[str, ...] = ()

    def levers(self) -> dict[str, str]:
        """What is not computed exactly, as flags without their dashes."""
        levers = {"linears": self.linears, "attention": self.attention, "tiny-decoder": self.tiny_decoder}
        return {name: value for name, value in levers.items() if value is not None}

    def words(self) -> list[str]:
        """The levers for people, a smaller window among them."""
        window = {} if self.window is None else {"window": self.window}
        return [f"{name.replace('-', ' ')} {value}" for name, value in (self.levers() | window).items()]

    def flags(self) -> dict[str, Any]:
        """What was given, as flags without their dashes."""
        names = [field.name for field in fields(self) if field.name != "said"]
        given = {name.replace("_", "-"): getattr(self, name) for name in names}
        if self.steps is not None:
            given["steps"] = ",".join(map(str, self.steps))
        return {name: value for name, value in given.items() if value not in (None, False)}


def parse_steps(text: str | None) -> tuple[int, ...] | None:
    """Indices such as 0,250,500,750. Errors: UsageError."""
    if text is None:
        return None
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError as wrong:
        raise UsageError(f"--steps {text}: write indices such as 0,250,500,750.") from wrong
    if list(steps) != sorted(set(steps)) or steps[0] < 0 or steps[-1] >= LAST_STEP:
        raise UsageError(f"--steps {text}: indices rise and lie from 0 to {LAST_STEP - 1}.")
    return steps


def pick_precision(fp8: bool, device: str, asked: str | None) -> str:
    """What the transformer is kept in on a device; `fp8` says that its files are.

    Errors: UsageError for more bits than they have.
    """
    if fp8:
        if asked not in (None, "fp8"):
            raise UsageError(f"The model is kept in fp8 and cannot be loaded as {asked}.")
        return "fp8"
    return asked or ("bfloat16" if device.startswith("cuda") else "float32")


def with_settings(checkpoint: Checkpoint, settings: Settings) -> Checkpoint:
    """The checkpoint as it will be run, each replaced value among its differences. Errors: UsageError."""
    names = ("chunk", "window", "sink", "shift", "steps")
    given = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    preset = replace(checkpoint.preset, **given)
    _check(preset, given)
    replaced = tuple(
        Difference(name, getattr(checkpoint.preset, name), value, value, source=f"--{name}")
        for name, value in given.items()
        if getattr(checkpoint.preset, name) != value
    )
    kept = tuple(difference for difference in checkpoint.differences if difference.name not in given)
    return replace(checkpoint, preset=preset, differences=kept + replaced)


def _check(preset: Preset, given: Mapping[str, Any]) -> None:
    smallest = preset.sink + preset.chunk
    if preset.chunk < 1 or preset.sink < 0 or preset.shift <= 0:
        raise UsageError(f"chunk {preset.chunk}, sink {preset.sink} and shift {preset.shift} cannot be.")
    if given and preset.window != -1 and preset.window < smallest:
        raise UsageError(
            f"A window of {preset.window} latent frames cannot hold the sink of {preset.sink} and a chunk of "
            f"{preset.chunk}.",
            hint=f"Use --window {smallest} or more, or -1 for no limit.",
        )
