"""Fast mode: the speed options that `--fast` selects on a device."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.presets import Preset
from lingbot_cli.runtime.autotune import int8_attention_wins
from lingbot_cli.runtime.hardware import (
    FP8_CAPABILITY,
    Capability,
    cuda_capability,
    fast_window,
    has_fp8_units,
    int8_attention_problem,
)
from lingbot_cli.runtime.model_options import ModelOptions, apply_options, read_model


def resolve_model(
    options: ModelOptions, checkpoint: Checkpoint | None = None
) -> tuple[ModelOptions, Checkpoint]:
    """Return the options with `--fast` replaced by what it selects, and the checkpoint as it will run.

    `checkpoint` is given where it was read before. Errors: those of reading one, UsageError.
    """
    checkpoint = checkpoint or read_model(options)
    if checkpoint.packing is not None and options.fast and options.linears is None:
        note = f"fast: without fp8 linears, as the weights stay packed as {checkpoint.packing}"
        options = replace(options, linears="exact", notes=(*options.notes, note))
    options = resolve_fast(options, checkpoint.preset, options.device)
    return options, apply_options(checkpoint, options)


def resolve_fast(options: ModelOptions, preset: Preset, device: str | None) -> ModelOptions:
    """Return the options with `--fast` resolved for a device by name, None for the best there is."""
    chosen = options.linears, options.attention, options.kv_cache, options.commit
    if not options.fast and not any(chosen):
        return options
    int8_wins = partial(int8_attention_wins, preset, device)
    return select_fast(options, preset, cuda_capability(device), int8_wins)


def select_fast(
    options: ModelOptions,
    preset: Preset,
    capability: Capability,
    int8_wins: Callable[[], bool] = lambda: True,
) -> ModelOptions:
    """Return the options with `--fast` replaced by each speed option that helps; options given by name stay.

    `int8_wins`: whether int8 attention is faster than the exact backends, where it runs at all. The result's `notes`
    name the speed options selected, those left out, and those that bring no speed here.
    """
    notes: list[str] = []
    linears, attention, window = options.linears, options.attention, options.window
    problem = int8_attention_problem(capability)
    if options.fast:
        omitted = []
        if linears is None and has_fp8_units(capability):
            linears = "fp8"
        elif linears is None:
            omitted.append("without fp8 linears, which need compute capability {}.{}".format(*FP8_CAPABILITY))
        if attention is None and problem is None and int8_wins():
            attention = "int8"
        elif attention is None and problem is None:
            omitted.append("without int8 attention, which is not faster here")
        elif attention is None:
            omitted.append(f"without int8 attention: {problem}")
        replaced = {
            name: value for name in ("chunk", "sink") if (value := getattr(options, name)) is not None
        }
        window = fast_window(replace(preset, **replaced)) if window is None else window
        selected = {"linears": linears, "attention": attention, "window": window}
        used = [f"{name} {value}" for name, value in selected.items() if value not in (None, "exact")]
        notes = ["; ".join([f"fast: {', '.join(used)}", *omitted])]
    if linears == "fp8" and not has_fp8_units(capability):
        notes.append("fp8 linears are only emulated on this device: eight-bit error and no speed-up")
    return replace(
        options,
        fast=False,
        window=window,
        linears=None if linears == "exact" else linears,
        attention=None if attention == "exact" else attention,
        kv_cache=None if options.kv_cache == "exact" else options.kv_cache,
        commit=None if options.commit == "exact" else options.commit,
        notes=tuple(dict.fromkeys((*options.notes, *notes))),
    )
