"""Memory check: whether a run fits the free memory or a graphics card, and the options with which it would."""

import sys
from collections import ChainMap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lingbot_cli.errors import InsufficientMemoryError
from lingbot_cli.presets import Preset
from lingbot_cli.runtime.hardware import usable_gpu_memory
from lingbot_cli.runtime.memory import MemoryEstimate, MemorySetup, estimate_memory, gigabytes

MAX_HINTS = 5
CARDS_GB = (8, 12, 16, 24, 32, 48, 80)
SIZES = ((240, 416), (480, 832), (720, 1280))
"""Height and width of the sizes that tables list."""


def check_fits(preset: Preset, setup: MemorySetup, free: int, free_host: int) -> MemoryEstimate:
    """Return the estimate if it fits. Errors: InsufficientMemoryError with the options that would fit."""
    needed = estimate_memory(preset, setup)
    if needed.peak <= free and needed.host <= free_host:
        return needed
    several = f" for {setup.sessions} sessions" if setup.sessions > 1 else ""
    short = (
        f"{preset.name} at {setup.width}x{setup.height} needs {gigabytes(needed.peak)} on {setup.device}{several}"
        + (f" and {gigabytes(needed.host)} of RAM beside it" if needed.host else "")
        + f"; free: {gigabytes(free)}"
        + (f" and {gigabytes(free_host)}" if needed.host else "")
    )
    if enough := fitting_flags(preset, setup, free, free_host):
        saved = [
            f"{flags} (saves {gigabytes(max(0, needed.peak - other.peak) + max(0, needed.host - other.host))})"
            for flags, other in enough[:MAX_HINTS]
        ]
        raise InsufficientMemoryError(short, hint="any of these fits: " + "; ".join(saved))
    least = min(_smaller_setups(preset, setup), key=lambda way: way[1].peak, default=None)
    most = f"not even {' '.join(least[0])} fits ({gigabytes(least[1].peak)}): " if least else ""
    raise InsufficientMemoryError(short, hint=f"{most}use a smaller model or a larger device")


def fitting_flags(
    preset: Preset, setup: MemorySetup, free: int, free_host: int
) -> list[tuple[str, MemoryEstimate]]:
    """Return the smallest sets of options with which a run fits, the mildest first, with their estimates."""
    enough: list[tuple[tuple[str, ...], MemoryEstimate]] = []
    for flags, needed in _smaller_setups(preset, setup):
        fits = needed.peak <= free and needed.host <= free_host
        if fits and not any(set(fewer) <= set(flags) for fewer, _ in enough):
            enough.append((flags, needed))
    return [(" ".join(flags), needed) for flags, needed in enough]


def largest_decode_batch(preset: Preset, setup: MemorySetup, free: int) -> MemorySetup:
    """Return a GPU's setup with the most latents decoded in one call that its free bytes allow."""
    if setup.device == "cpu" or setup.decode_on is not None:
        return setup
    ways = (replace(setup, decode_batch=count) for count in range(preset.chunk, 1, -1))
    return next((way for way in ways if estimate_memory(preset, way).peak <= free), setup)


def _smaller_setups(preset: Preset, setup: MemorySetup) -> Iterator[tuple[tuple[str, ...], MemoryEstimate]]:
    """Yield sets of options that reduce memory with their estimates, the mildest first.

    A set is as mild as its harshest option, then as its next one.
    """
    whole = estimate_memory(preset, setup)
    steps = [
        (flag, of_preset, of_setup)
        for flag, of_preset, of_setup in _memory_options(preset, setup)
        if _saves(estimate_memory(replace(preset, **of_preset), replace(setup, **of_setup)), whole)
    ]
    for chosen in range(1, 2 ** len(steps)):
        ways = [step for place, step in enumerate(steps) if chosen >> place & 1]
        flags = tuple(flag for flag, _, _ in ways)
        if len({flag.split()[0] for flag in flags}) < len(flags):
            continue
        smaller = replace(setup, **ChainMap(*(of_setup for _, _, of_setup in ways)))
        yield (
            flags,
            estimate_memory(replace(preset, **ChainMap(*(of_preset for _, of_preset, _ in ways))), smaller),
        )


def _saves(fewer: MemoryEstimate, whole: MemoryEstimate) -> bool:
    return fewer.peak < whole.peak or fewer.host < whole.host


def _memory_options(
    preset: Preset, setup: MemorySetup
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield options that may reduce memory, from mild to harsh, with their changes of the preset and the setup."""
    smallest = preset.sink + preset.chunk
    for sessions in sorted({setup.sessions // 2, 1} - {0, setup.sessions}, reverse=True):
        yield f"--sessions {sessions}", {}, {"sessions": sessions}
    if setup.text_on != "cpu":
        yield "--text-on cpu", {}, {"text_on": "cpu"}
    if setup.device != "cpu" and not setup.offload:
        yield "--offload", {}, {"offload": True}
    if setup.precision == "float32":
        yield "--precision bfloat16", {}, {"precision": "bfloat16"}
    if not setup.kv_cache:
        yield "--kv-cache int8", {}, {"kv_cache": "int8"}
    if setup.precision in ("float32", "bfloat16") and not setup.linears and setup.block_bytes is None:
        yield "--precision fp8", {}, {"precision": "fp8"}
    for window in sorted({max(smallest, 12), smallest}, reverse=True):
        if not 0 <= preset.window <= window:
            yield f"--window {window}", {"window": window}, {}
    for share in (0.75, 0.5):
        height, width = (max(16, int(side * share) // 16 * 16) for side in (setup.height, setup.width))
        yield f"--size {width}x{height}", {}, {"height": height, "width": width}


@dataclass(frozen=True)
class CardFit:
    """Options, such as `--offload`, with which a size fits a card of `vram_gb`; None where nothing fits."""

    vram_gb: int
    size: str
    flags: str | None
    gpu_bytes: int
    ram_bytes: int

    def row(self) -> tuple[str, str, str, str, str]:
        """Return the cells of a table: card, size, options, memory on the card, RAM."""
        card = f"{self.vram_gb} GB"
        if self.flags is None:
            return card, self.size, "nothing fits", "", ""
        return card, self.size, self.flags or "fits", gigabytes(self.gpu_bytes), gigabytes(self.ram_bytes)


def fit_card(preset: Preset, setup: MemorySetup, vram_gb: int) -> list[CardFit]:
    """Return the mildest options with which a setup fits a card, and the mildest without `--offload`.

    The size is not changed. A card of 24 GB has 24 GiB, of which a margin stays free; main memory is not limited.
    """
    needed = estimate_memory(preset, setup)
    free = usable_gpu_memory(vram_gb * 2**30, vram_gb * 2**30)
    if needed.peak <= free:
        ways: list[tuple[str | None, MemoryEstimate]] = [("", needed)]
    else:
        fitting = [way for way in fitting_flags(preset, setup, free, sys.maxsize) if "--size" not in way[0]]
        resident = [way for way in fitting if "--offload" not in way[0]]
        ways = [*dict.fromkeys(fitting[:1] + resident[:1])] or [(None, needed)]
    size = f"{setup.width}x{setup.height}"
    return [CardFit(vram_gb, size, flags, memory.peak, memory.host) for flags, memory in ways]


def fit_cards(preset: Preset, setups: Sequence[MemorySetup], cards_gb: Sequence[int]) -> list[CardFit]:
    """Return the options of each setup on each card, card by card."""
    return [fit for card in cards_gb for setup in setups for fit in fit_card(preset, setup, card)]
