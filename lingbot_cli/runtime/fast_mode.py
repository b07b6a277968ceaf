"""What `--fast` takes on this machine, as settings that can be said by name again."""

from dataclasses import replace

from lingbot_cli.checkpoints.checkpoint import Checkpoint, read_checkpoint
from lingbot_cli.presets import Preset
from lingbot_cli.runtime.capabilities import (
    FP8_CAPABILITY,
    Capability,
    fast_window,
    has_fp8_units,
    int8_attention_problem,
)
from lingbot_cli.runtime.hardware import cuda_capability
from lingbot_cli.runtime.model_options import ModelOptions, apply_options


def resolve_model(
    options: ModelOptions, checkpoint: Checkpoint | None = None
) -> tuple[ModelOptions, Checkpoint]:
    """Return the options with `--fast` replaced by what it selects, and the checkpoint as it will run.

    `checkpoint` is given where it was read before. Errors: those of reading one, UsageError.
    """
    checkpoint = checkpoint or read_checkpoint(options.model, options.assets)
    options = resolve_fast(options, checkpoint.preset, options.device)
    return options, apply_options(checkpoint, options)


def resolve_fast(settings: ModelOptions, preset: Preset, device: str | None) -> ModelOptions:
    """The settings with `--fast` taken apart for a device by name, None for the best there is."""
    if not (settings.fast or settings.linears or settings.attention):
        return settings
    return select_fast(settings, preset, cuda_capability(device))


def select_fast(settings: ModelOptions, preset: Preset, able: Capability) -> ModelOptions:
    """The settings with `--fast` taken apart: each lever where it helps; what is said by name stays.

    `said` tells in words what was taken and left, and what was asked for and helps nothing here.
    """
    said: list[str] = []
    linears, attention, window = settings.linears, settings.attention, settings.window
    lack = int8_attention_problem(able)
    if settings.fast:
        left = []
        if linears is None and has_fp8_units(able):
            linears = "fp8"
        elif linears is None:
            left.append("without fp8 linears, which need compute capability {}.{}".format(*FP8_CAPABILITY))
        if attention is None and lack is None:
            attention = "int8"
        elif attention is None:
            left.append(f"without int8 attention: {lack}")
        replaced = {
            name: value for name in ("chunk", "sink") if (value := getattr(settings, name)) is not None
        }
        window = fast_window(replace(preset, **replaced)) if window is None else window
        levers = {"linears": linears, "attention": attention, "window": window}
        used = [f"{name} {value}" for name, value in levers.items() if value not in (None, "exact")]
        said = ["; ".join([f"fast: {', '.join(used)}", *left])]
    if linears == "fp8" and not has_fp8_units(able):
        said.append("fp8 linears are only emulated on this device: the error of eight bits, and no speed")
    return replace(
        settings,
        fast=False,
        window=window,
        linears=None if linears == "exact" else linears,
        attention=None if attention == "exact" else attention,
        notes=tuple(dict.fromkeys((*settings.notes, *said))),
    )
