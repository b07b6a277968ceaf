"""Choice of a checkpoint's preset from its own configs and tensors, or by name (model §2, §3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.presets import PRESETS, Preset

SHAPE = ("dim", "layers", "ffn", "text_dim")
"""Preset fields that tensor shapes show; together they distinguish the published architectures."""
DESCRIBED = ("chunk", "window", "sink", "shift", "steps")
"""Preset fields on which the published presets of one architecture differ."""


@dataclass(frozen=True)
class PresetEvidence:
    """Facts of a checkpoint that decide its preset.

    `place`: the checkpoint in messages. `named`: a preset's name from the layout or a config, with `named_by`.
    `settings`: values of the configs under the names of preset fields.
    `stored`: the architecture that the tensors have.
    """

    place: str
    named: str | None
    named_by: str
    settings: Mapping[str, Any]
    stored: Mapping[str, Any]


def choose_preset(evidence: PresetEvidence, asked: str | None) -> tuple[Preset, str]:
    """Return the preset that was asked for, else the only one that fits, and the evidence that decided for it.

    Errors: UsageError for a preset of another architecture and where several presets fit or none does;
    SetupError for a config that names an unknown preset.
    """
    if asked is not None:
        return _asked_preset(evidence, asked), f"--preset {asked}"
    if evidence.named is not None:
        if evidence.named not in PRESETS:
            raise SetupError(f"{evidence.named_by} names an unknown preset: {evidence.named}")
        return PRESETS[evidence.named], evidence.named_by
    candidates = _of_architecture(evidence.stored)
    fitting = [preset for preset in candidates if _has(preset, DESCRIBED, evidence.settings)]
    if len(fitting) == 1:
        return fitting[0], f"only preset with {_facts(evidence) or 'these tensor shapes'}"
    raise _undecided(evidence, fitting)


def _asked_preset(evidence: PresetEvidence, asked: str) -> Preset:
    if asked not in PRESETS:
        raise UsageError(f"--preset {asked}: unknown preset", hint=f"use one of {', '.join(PRESETS)}")
    preset = PRESETS[asked]
    same = [other.name for other in PRESETS.values() if _has(other, SHAPE, evidence.stored)]
    if same and asked not in same:
        raise UsageError(
            f"--preset {asked}: its transformer is {preset.dim} wide with {preset.layers} layers, that of "
            f"{evidence.place} {evidence.stored['dim']} wide with {evidence.stored['layers']} layers",
            hint=f"use --preset {' or '.join(same)}",
        )
    return preset


def _of_architecture(stored: Mapping[str, Any]) -> list[Preset]:
    """Return the published presets of the stored architecture, or all of them if it is nobody's."""
    published = [preset for preset in PRESETS.values() if preset.name != "built-in"]
    return [preset for preset in published if _has(preset, SHAPE, stored)] or published


def _has(preset: Preset, names: tuple[str, ...], values: Mapping[str, Any]) -> bool:
    return all(getattr(preset, name) == values[name] for name in names if name in values)


def _undecided(evidence: PresetEvidence, fitting: list[Preset]) -> UsageError:
    candidates = fitting or _of_architecture(evidence.stored)
    facts = _facts(evidence)
    found = f"its configs say {facts}" if facts else "its configs name none"
    names = " and ".join(preset.name for preset in candidates)
    problem = f"fits {names}" if fitting else f"fits no preset; nearest by shape: {names}"
    return UsageError(
        f"{evidence.place}: {problem} ({found})",
        hint="choose with --preset NAME: " + "; ".join(map(describe_difference, candidates)),
    )


def describe_difference(preset: Preset) -> str:
    """Return a preset's name with the settings on which presets of one architecture differ, and its licence."""
    steps = ",".join(map(str, preset.steps))
    return (
        f"{preset.name} (shift {preset.shift:g}, chunk {preset.chunk}, sink {preset.sink}, steps {steps}, "
        f"{preset.licence})"
    )


def _facts(evidence: PresetEvidence) -> str:
    found = {name: evidence.settings[name] for name in DESCRIBED if name in evidence.settings}
    return ", ".join(
        f"{name} {','.join(map(str, value)) if isinstance(value, tuple) else f'{value:g}'}"
        for name, value in found.items()
    )
